# Google's APIs: Workspace, and some of Google Cloud's. Facts were checked on
# 2026-11-29; the source stands beside each.

provider "google" {
  # Write the hosts of what the application calls, and no more: the token goes to
  # each of them. oauth2.googleapis.com is where libraries ask for tokens.
  hosts = [
    "www.googleapis.com", "oauth2.googleapis.com",
    "admin.googleapis.com", "chat.googleapis.com", "docs.googleapis.com", "forms.googleapis.com", "gmail.googleapis.com",
    "people.googleapis.com", "sheets.googleapis.com", "slides.googleapis.com", "tasks.googleapis.com",
    "bigquery.googleapis.com", "pubsub.googleapis.com", "storage.googleapis.com",
  ]

  endpoints = [
    "/calendar/v3/calendars/{id}/events", "/calendar/v3/calendars/{id}/events/{event}", "/calendar/v3/**",
    "/drive/v3/files", "/drive/v3/files/{id}", "/drive/v3/**", "/upload/**",
    "/gmail/v1/users/{user}/messages", "/gmail/v1/users/{user}/messages/{id}", "/gmail/v1/users/{user}/messages/send", "/gmail/v1/**",
    "/v4/spreadsheets/{id}", "/v4/spreadsheets/{id}/values/{range}", "/v4/spreadsheets/**",
    "/v1/documents/{id}", "/v1/people/**", "/v1/projects/**", "/storage/v1/**", "/bigquery/v2/**", "/token",
  ]

  # Without access_type and prompt there is no refresh token, or only the first time
  # (developers.google.com/identity/protocols/oauth2/web-server). revoke_url as
  # google-auth-library 10.9.1 calls it.
  credential "oauth2" {
    authorize_url    = "https://accounts.google.com/o/oauth2/v2/auth"
    authorize_params = { access_type = "offline", prompt = "consent" }
    token_url        = "https://oauth2.googleapis.com/token"
    revoke_url       = "https://oauth2.googleapis.com/revoke?token={token}"
    auth             = "post"
    revoke {
      auth   = "none"
      params = {}
    }
  }

  # A service account: key = [file("…/service-account.json")] says all but the scopes
  # (google-auth-library 10.9.1, gtoken/jwsSign.js). On behalf of the
  # users of a domain: subject = account.
  credential "jwt_bearer" {
    token_url = "https://oauth2.googleapis.com/token"
  }

  # A key, for what needs no user (cloud.google.com/docs/authentication/api-keys-use; not
  # looked up): expect(env("GOOGLE_API_KEY"), "^AIza").
  credential "header" { name = "X-Goog-Api-Key" }

  # There is no idempotency header. Backoff up to 32 or 64 s
  # (developers.google.com/workspace/drive/api/guides/handle-errors; not looked up).
  retry {
    attempts = 5
    # Gmail has a time in its message (NangoHQ/nango 2f4c0af), others
    # google.rpc.RetryInfo, such as 3.5s (cloud.google.com/apis/design/errors; not
    # looked up).
    after = try(regex("Retry after ([0-9T:.Z+-]+)", response.body.error.message)[0], "PT${upper(response.body.error.details[0].retryDelay)}", "PT${upper(response.body.error.details[1].retryDelay)}", "PT${upper(response.body.error.details[2].retryDelay)}", null)
    unit  = "rfc3339"
    backoff {
      first = "1s"
      max   = "32s"
    }
  }

  timeout {
    attempt = "60s"
    total   = "180s"
  }

  breaker {}

  error {
    code    = coalesce(response.body.error.errors[0].reason, response.body.error.status, response.body.error)
    message = coalesce(response.body.error.message, response.body.error_description)
  }

  # developers.google.com/gmail/api/guides/handle-errors, looked up;
  # cloud.google.com/apis/design/errors not.
  outcome "rate_limited" {
    when = response.status == 429 || response.status == 403 && (response.body.error.errors[0].reason == "rateLimitExceeded" || response.body.error.errors[0].reason == "userRateLimitExceeded")
    hint = "A quota of this minute is used up, of the project or the user: spread the calls, tell users apart by quotaUser, or raise it at console.cloud.google.com/apis/dashboard."
  }
  outcome "forbidden" {
    when = response.status == 403 && (response.body.error.errors[0].reason == "accessNotConfigured" || response.body.error.details[0].reason == "SERVICE_DISABLED")
    hint = "The API is not enabled in the project of this credential: enable it at console.cloud.google.com/apis/library, and wait some minutes."
  }
  outcome "forbidden" {
    when = response.status == 403 && (response.body.error.errors[0].reason == "insufficientPermissions" || response.body.error.details[0].reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    hint = "The token lacks a scope: add it to the policy's scopes, and connect the account again."
  }
  outcome "forbidden" {
    when = response.status == 403 && response.body.error.errors[0].reason == "domainPolicy"
    hint = "The administrator of this Workspace domain does not let apps do this: ask them to allow the app."
  }
  # A day's quota or a user's storage may not be waited for (the same page).
  outcome "quota_exhausted" {
    when = response.status == 403 && (response.body.error.errors[0].reason == "dailyLimitExceeded" || response.body.error.errors[0].reason == "quotaExceeded")
    hint = "The project's quota of the day is spent: see console.cloud.google.com/apis/dashboard."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Google refuses the token: it has expired, or the grant was withdrawn."
  }
}

# verify "google": a push of Pub/Sub with a token (docs.cloud.google.com/pubsub, facts of
# 2026-11), as Gmail and Play send too. A 2xx acknowledges the message.
webhook "google" {
  provider = "google"
  event {
    id      = body.message.messageId
    account = body.subscription
    time    = body.message.publishTime
    unit    = "rfc3339"
    key     = body.message.orderingKey
    varies  = [body.deliveryAttempt] # where there is a dead letter topic; seen in recorded pushes, not looked up, 2026-11-30
  }
}
