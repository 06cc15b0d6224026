# Zoom's API. Facts were checked on 2026-11-29; the source stands beside each.

provider "zoom" {
  # zoom.us is where libraries ask for tokens (@zoom/rivet 0.4.0).
  hosts = ["api.zoom.us", "zoom.us"]

  endpoints = [
    "/v2/users", "/v2/users/{id}", "/v2/users/{id}/meetings", "/v2/users/{id}/recordings", "/v2/users/{id}/**",
    "/v2/meetings/{id}", "/v2/meetings/{id}/registrants", "/v2/meetings/{id}/recordings", "/v2/meetings/{id}/**",
    "/v2/webinars/{id}", "/v2/webinars/{id}/**", "/v2/past_meetings/**", "/v2/report/**", "/v2/phone/**", "/v2/rooms/**",
    "/oauth/token",
  ]

  # Server-to-server: a token of the account, for an hour; there is no refresh token
  # (developers.zoom.us/docs/rooms/oauth). The account that a call names is
  # Zoom's account id; with one of them write it: params = { grant_type =
  # "account_credentials", account_id = "…" }.
  credential "oauth2_client_credentials" {
    token_url = "https://zoom.us/oauth/token"
    params    = { grant_type = "account_credentials", account_id = account }
  }

  # Refresh tokens rotate and last about 90 days; what is no good is an invalid_request
  # with the reason "Invalid Token!". No token may stand in a URL
  # (github.com/anthropics/knowledge-work-plugins, Zoom's own skill "oauth";
  # github.com/giorgosavgeris/passport-zoom-oauth2/issues/6). Scopes separated by
  # commas: NangoHQ/nango 2f4c0af, not looked up at Zoom.
  credential "oauth2" {
    authorize_url   = "https://zoom.us/oauth/authorize"
    token_url       = "https://zoom.us/oauth/token"
    revoke_url      = "https://zoom.us/oauth/revoke"
    scope_separator = ","
    revoke {
      params = { token = "{access_token}" }
    }
  }

  # Limits are of the account, by the weight of the call: light, medium, heavy
  # (developers.zoom.us/docs/api/rate-limits, read 2026-11-23). There is no idempotency
  # key.
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

  # developers.zoom.us/docs/api/errors; not looked up.
  error {
    code       = response.body.code
    message    = response.body.message
    request_id = response.header["X-Zm-Trackingid"]
  }

  # developers.zoom.us/docs/api/errors; not looked up.
  outcome "not_found" {
    when = response.status == 404 && response.body.code == 3001
    hint = "There is no such meeting, or it has ended and expired: check the id, and whether it is a UUID that wants to be encoded twice."
  }
  outcome "not_found" {
    when = response.status == 404 && response.body.code == 1001
    hint = "There is no such user in this account: they have left, or not accepted the invitation yet."
  }
  outcome "auth" {
    when = response.status == 401 || response.body.code == 124
    hint = "Zoom refuses the token (124): it has expired, or the app was removed from the account."
  }
  outcome "quota_exhausted" {
    when = response.status == 429 && can(regex("daily", response.body.message))
    hint = "The account's daily limit is reached: it begins anew at 00:00 UTC."
  }
  # developers.zoom.us/docs/api/rate-limits, read 2026-11-23.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "The account's calls a second of this weight are used up, by all of its apps: spread them, and set a limit in the policy."
  }
  outcome "forbidden" {
    when = response.status == 400 && response.body.code == 4711
    hint = "The app lacks a scope: the message names it."
  }
}

webhook "zoom" {
  provider = "zoom"
  headers  = ["X-Zm-Trackingid"]
  # The key is the secret token (developers.zoom.us/docs/api/webhooks, read 2026-11-29).
  verify "hmac" {
    header    = "X-Zm-Signature"
    prefix    = "v0="
    timestamp = "X-Zm-Request-Timestamp"
    message   = "v0:${timestamp}:${raw_body}"
    # At registration and every 72 hours (developers.zoom.us/changelog/platform/webhook-url-validation,
    # read 2026-11-29).
    handshake "url_validation" {
      when = body.event == "endpoint.url_validation"
      sign = body.payload.plainToken
      body = { plainToken = body.payload.plainToken, encryptedToken = signature.hex }
    }
  }
  event {
    type    = body.event
    account = body.payload.account_id
    time    = body.event_ts
    unit    = "ms"
    key     = body.payload.object.uuid
  }
}
