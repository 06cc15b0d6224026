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

  # A spent minute may be a 403 as well; a day's or a user's storage may not be waited
  # for (the same page).
  outcome "rate_limited" {
    when = response.status == 403 && (response.body.error.errors[0].reason == "rateLimitExceeded" || response.body.error.errors[0].reason == "userRateLimitExceeded")
  }
  outcome "quota_exhausted" {
    when = response.status == 403 && (response.body.error.errors[0].reason == "dailyLimitExceeded" || response.body.error.errors[0].reason == "quotaExceeded")
    hint = "The project's quota of the day is spent: see console.cloud.google.com/apis/dashboard."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Google refuses the token: it has expired, or the grant was withdrawn."
  }
}
