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

  # github.com/slack-ruby/slack-api-ref, methods/chat/chat.meMessage.json, looked up;
  # docs.slack.dev/reference/methods has the same by method.
  outcome "auth" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "token_revoked"
    hint = "The token was revoked, by a person or because the app was removed: install the app again, or connect the account again."
  }
  outcome "auth" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "token_expired"
    hint = "The app has token rotation on, and this token has expired: use credential \"oauth2\", which renews it."
  }
  outcome "auth" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "account_inactive"
    hint = "The workspace or the user of this token was deleted: connect another one, or stop calling for this account."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "missing_scope"
    hint = "The app lacks the scope that `needed` names: add it to the app, and install or connect again."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "not_in_channel"
    hint = "The app is not in the channel: invite it, or call conversations.join."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "not_allowed_token_type"
    hint = "The method takes another kind of token: a bot's (xoxb-) or a user's (xoxp-)."
  }
  outcome "not_found" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "channel_not_found"
    hint = "There is no such channel, or it is private and the app is not in it: give its id (C…), and invite the app."
  }
  outcome "client_error" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "is_archived"
    hint = "The channel is archived: unarchive it, or write elsewhere."
  }
  outcome "validation" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "msg_too_long" || response.body.error == "no_text" || response.body.error == "invalid_blocks" || response.body.error == "invalid_arguments")
    hint = "The message is too long, empty or malformed: response_metadata.messages says where."
  }
  # Slack answers 200 with ok:false (docs.slack.dev/apis/web-api), and 429 with
  # Retry-After (docs.slack.dev/apis/web-api/rate-limits; not looked up).
  outcome "rate_limited" {
    when = response.status == 429 || response.status == 200 && response.body.ok == false && (response.body.error == "ratelimited" || response.body.error == "rate_limited")
    hint = "Slack's limit of this method and workspace, about one message a second and channel: wait for Retry-After, and spread the calls."
  }
  outcome "auth" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "invalid_auth" || response.body.error == "not_authed")
    hint = "Slack refuses the token: install the app again, or put the new token where the policy reads it."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.ok == false && response.body.error == "restricted_action"
    hint = "A setting of the workspace does not let the app do this: ask an administrator."
  }
  outcome "not_found" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "user_not_found" || response.body.error == "message_not_found")
    hint = "There is no such user or message in this workspace: check the id, and whose token this is."
  }
  # It is possible that some of it was done (the same source).
  outcome "server_error" {
    when = response.status == 200 && response.body.ok == false && (response.body.error == "internal_error" || response.body.error == "fatal_error" || response.body.error == "service_unavailable")
    hint = "Slack failed, and may have done it: look before you post again, and see slack-status.com."
  }
  outcome "client_error" {
    when = response.status == 200 && response.body.ok == false
  }
}

webhook "slack" {
  provider = "slack"
  headers  = ["X-Slack-Retry-Num", "X-Slack-Retry-Reason"]
  # docs.slack.dev/authentication/verifying-requests-from-slack, 2026-11.
  verify "hmac" {
    header    = "X-Slack-Signature"
    prefix    = "v0="
    timestamp = "X-Slack-Request-Timestamp"
    message   = "v0:${timestamp}:${raw_body}"
    # docs.slack.dev/reference/events/url_verification, 2026-11.
    handshake "url_verification" {
      when = body.type == "url_verification"
      body = body.challenge
    }
  }
  # A team's grant is that of the bot; tokens_revoked may be about users alone, and
  # names whose (docs.slack.dev/reference/events/tokens_revoked, 2026-11-29).
  revoked_by = event.type == "app_uninstalled" || event.type == "tokens_revoked" && body.event.tokens.bot[0] != null
  # What people do in messages comes as a form with the field payload, commands as a form of their own (facts of
  # 2026-11). In an app of a whole organization an event may be of no team.
  event {
    id      = body.event_id
    type    = coalesce(body.event.type, body.payload.type, body.command)
    account = coalesce(body.team_id, body.payload.team.id, body.enterprise_id, body.payload.enterprise.id)
    time    = body.event_time
  }
}
