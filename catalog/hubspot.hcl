# HubSpot's APIs. Facts were checked on 2026-11-29; the source stands beside each.

provider "hubspot" {
  hosts = ["api.hubapi.com"]

  endpoints = [
    "/crm/v3/objects/{type}", "/crm/v3/objects/{type}/{id}", "/crm/v3/objects/{type}/search", "/crm/v3/objects/{type}/batch/{action}",
    "/crm/v3/objects/{type}/{id}/associations/**", "/crm/v3/properties/**", "/crm/v3/owners", "/crm/v3/schemas/**",
    "/crm/v4/**", "/crm/{version}/**", "/marketing/**", "/files/**", "/account-info/**", "/oauth/**",
  ]

  # The token of a private app, for one account
  # (developers.hubspot.com/docs/apps/legacy-apps/private-apps/overview; not looked up):
  # expect(env("HUBSPOT_TOKEN"), "^pat-").
  credential "bearer" {}

  # Access tokens last 30 minutes. The endpoints of v1, with the token in the path, end
  # on 2027-02-16; these have all in the body
  # (developers.hubspot.com/docs/api-reference/latest/authentication/oauth-tokens/revoke-token
  # and …/2026-03/authentication/oauth-tokens/refresh-oauth-token, which has
  # code_verifier as well).
  credential "oauth2" {
    authorize_url = "https://app.hubspot.com/oauth/authorize"
    token_url     = "https://api.hubapi.com/oauth/2026-03/token"
    revoke_url    = "https://api.hubapi.com/oauth/2026-03/token/revoke"
    auth          = "post"
  }

  # There is no idempotency key: batch/upsert with an idProperty can be repeated.
  # 429 of policyName TEN_SECONDLY_ROLLING ends within ten seconds
  # (@hubspot/api-client 13.5.0).
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "10s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  # Of a second (developers.hubspot.com/changelog/2018-11-06-rate-limit-information-headers-will-be-included-in-http-responses,
  # read 2026-11-29), and of an interval, which is ten (own knowledge). The day's begins anew
  # at midnight in the account's time zone, which no answer says.
  limit "secondly" {
    remaining = response.header["X-HubSpot-RateLimit-Secondly-Remaining"]
    reset     = "1"
    unit      = "delta_seconds"
  }
  # Not looked up: developers.hubspot.com/docs/api/usage-details.
  limit "interval" {
    remaining = response.header["X-HubSpot-RateLimit-Remaining"]
    reset     = response.header["X-HubSpot-RateLimit-Interval-Milliseconds"] / 1000
    unit      = "delta_seconds"
  }

  breaker {}

  # As the answers in that reference are.
  error {
    code       = response.body.category
    message    = response.body.message
    request_id = response.body.correlationId
  }

  # developers.hubspot.com/docs/api-reference/error-handling, looked up.
  outcome "rate_limited" {
    when = response.status == 429 && response.body.policyName != "DAILY"
    hint = "The account's calls of these seconds are used up, by all of its apps: use the batch endpoints, and set a limit in the policy."
  }
  outcome "rate_limited" {
    when = response.status == 423
    hint = "The account is locked for a moment by a large change: leave two seconds between calls."
  }
  outcome "rate_limited" {
    when = response.status == 477
    hint = "HubSpot is moving the account to another data centre: wait for Retry-After, up to a day."
  }
  outcome "forbidden" {
    when = response.status == 403 && response.body.category == "MISSING_SCOPES"
    hint = "The token lacks a scope, which the message names: add it to the app, and connect the account again."
  }
  outcome "conflict" {
    when = response.status == 409
    hint = "Such an object exists; the message has its id: update it, or use batch/upsert with an idProperty."
  }
  # HubSpot says itself that a 401 need not mean that the token has expired
  # (developers.hubspot.com/docs/guides/api/app-management/oauth-tokens, read
  # 2026-11-23): it has the token renewed once, and then for a while no more.
  outcome "auth" {
    when = response.status == 401
    hint = "HubSpot refuses the token: it has expired, or the app was removed from the account."
  }
  outcome "quota_exhausted" {
    when = response.status == 429 && response.body.policyName == "DAILY"
    hint = "The account's daily limit is reached: it begins anew at midnight in the account's time zone."
  }
}

webhook "hubspot" {
  provider = "hubspot"
  # Version 3; the key is the client secret
  # (developers.hubspot.com/docs/apps/developer-platform/build-apps/ authentication/request-validation,
  # read 2026-11-29). HubSpot writes out some escapes of the URL before it signs; two sources say different
  # things about which (facts of 2026-11), so the URL is tried as it is and so. Version 1 and 2 are hashes that begin with the secret, and not taken.
  verify "hmac" {
    header    = "X-HubSpot-Signature-v3"
    encoding  = "base64"
    timestamp = "X-HubSpot-Request-Timestamp"
    unit      = "ms"
    message   = "${method}${url}${raw_body}${timestamp}"
    unescaped = ":/?@!$'()*,;"
  }
  event {
    split   = body
    id      = "${item.eventId} ${item.subscriptionId} ${item.occurredAt}"
    type    = item.subscriptionType
    account = item.portalId
    time    = item.occurredAt
    unit    = "ms"
    key     = item.objectId
    varies  = [item.attemptNumber] # how often this one was tried
  }
}
