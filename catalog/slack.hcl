# Slack's Web API and Events API. Facts were checked on 2026-11-29; the source
# stands beside each.

provider "slack" {
  hosts = ["slack.com"]

  endpoints = [
    "/api/auth.test",
    "/api/chat.postMessage", "/api/chat.postEphemeral", "/api/chat.update", "/api/chat.delete",
    "/api/conversations.list", "/api/conversations.history", "/api/conversations.replies", "/api/conversations.info", "/api/conversations.open",
    "/api/files.getUploadURLExternal", "/api/files.completeUploadExternal",
    "/api/reactions.add", "/api/users.info", "/api/users.list", "/api/users.lookupByEmail",
    "/api/views.open", "/api/views.publish", "/api/views.update",
    "/api/{method}",
  ]

  # A bot's or a user's token (docs.slack.dev/authentication/tokens; not looked up):
  # expect(env("SLACK_BOT_TOKEN"), "^xoxb-").
  credential "bearer" {}

  # Id and secret by Basic, as Slack prefers; scopes separated by commas; tokens end,
  # after 12 hours, only for apps that have turned token rotation on
  # (docs.slack.dev/reference/methods/oauth.v2.access,
  # …/authentication/using-token-rotation). PKCE makes an app a public client for good,
  # so it is left out (docs.slack.dev/authentication/using-pkce). For a user's token in
  # place of the bot's: scope_parameter = "user_scope" and token_path = "authed_user".
  credential "oauth2" {
    authorize_url   = "https://slack.com/oauth/v2/authorize"
    token_url       = "https://slack.com/api/oauth.v2.access"
    revoke_url      = "https://slack.com/api/auth.revoke"
    scope_separator = ","
    pkce            = false
    revoke {
      auth    = "none"
      headers = { Authorization = "Bearer {access_token}" }
      params  = {}
    }
  }

  # There is no version and no idempotency key (@slack/web-api 8.2.0). Retry-After
  # is in seconds.
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  breaker {}

  error {
    code       = response.body.error
    message    = response.body.response_metadata.messages[0]
    request_id = response.header["X-Slack-Req-Id"]
  }

  # Slack answers 200 with ok:false (docs.slack.dev/apis/web-api).
  outcome "rate_limited" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "ratelimited" || response.body.error == "rate_limited")
  }
  outcome "auth" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "invalid_auth" || response.body.error == "not_authed" || response.body.error == "token_expired" || response.body.error == "token_revoked" || response.body.error == "account_inactive")
    hint = "Slack refuses the token: install the app again, or put the new token where the policy reads it."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "missing_scope" || response.body.error == "not_allowed_token_type" || response.body.error == "restricted_action" || response.body.error == "not_in_channel")
    hint = "The app lacks a scope or a membership: the answer's `needed` names the scope."
  }
  outcome "not_found" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "channel_not_found" || response.body.error == "user_not_found" || response.body.error == "message_not_found")
  }
  outcome "server_error" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "internal_error" || response.body.error == "fatal_error" || response.body.error == "service_unavailable")
  }
  outcome "client_error" {
    when = response.status == 200 && response.body.ok == false
  }
}

webhook "slack" {
  provider = "slack"
  headers  = ["X-Slack-Retry-Num", "X-Slack-Retry-Reason"]
  # A team's grant is that of the bot; tokens_revoked may be about users alone, and
  # names whose (docs.slack.dev/reference/events/tokens_revoked, 2026-11-29).
  revoked_by = event.type == "app_uninstalled" || event.type == "tokens_revoked" && body.event.tokens.bot[0] != null
  event {
    id      = body.event_id
    type    = body.event.type
    account = body.team_id
    time    = body.event_time
  }
}
