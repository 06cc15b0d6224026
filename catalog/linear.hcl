# Linear's GraphQL API. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "linear" {
  hosts = ["api.linear.app"]

  endpoints = ["/graphql", "/oauth/token", "/oauth/revoke"]

  # A personal key goes without Bearer (linear.app/developers/graphql, read 2026-11-23):
  # expect(env("LINEAR_API_KEY"), "^lin_api_").
  credential "header" { name = "Authorization" }

  # Scopes are separated by commas, PKCE is supported, refresh tokens rotate
  # (linear.app/docs/oauth/authentication). The revocation takes the access token as
  # Bearer (NangoHQ/nango 2f4c0af, after Linear's documentation).
  credential "oauth2" {
    authorize_url   = "https://linear.app/oauth/authorize"
    token_url       = "https://api.linear.app/oauth/token"
    revoke_url      = "https://api.linear.app/oauth/revoke"
    auth            = "post"
    scope_separator = ","
    revoke {
      auth    = "none"
      headers = { Authorization = "Bearer {access_token}" }
      params  = {}
    }
  }

  # There is no idempotency key: a mutation with an id of the application's own
  # choosing cannot be made twice.
  retry {
    attempts = 4
    # In milliseconds since 1970 (@linear/sdk, read 2026-11-23); the points may begin
    # anew at another time than the requests.
    after = response.header["X-RateLimit-Requests-Remaining"] == "0" ? response.header["X-RateLimit-Requests-Reset"] : response.header["X-RateLimit-Complexity-Reset"]
    unit  = "epoch_ms"
    backoff {
      first = "1s"
      max   = "60s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  # Leaky buckets of an hour, of requests and of points
  # (linear.app/developers/rate-limiting, read 2026-11-29; the headers as docs.rs/linear-api 0.1.0 has them).
  limit "requests" {
    remaining = response.header["X-RateLimit-Requests-Remaining"]
    refill    = response.header["X-RateLimit-Requests-Limit"] / 3600
  }
  # linear.app/developers/rate-limiting, as above.
  limit "complexity" {
    remaining = response.header["X-RateLimit-Complexity-Remaining"]
    refill    = response.header["X-RateLimit-Complexity-Limit"] / 3600
    cost      = response.header["X-Complexity"]
  }

  breaker {}

  # linear.app/developers/graphql; not looked up.
  error {
    code       = response.body.errors[0].extensions.code
    message    = coalesce(response.body.errors[0].extensions.userPresentableMessage, response.body.errors[0].message)
    request_id = response.header["X-Request-Id"]
  }

  # @linear/sdk 60.0.0, LinearErrorType; own knowledge.
  outcome "quota_exhausted" {
    when = response.body.errors[0].extensions.type == "usage limit exceeded"
    hint = "The workspace's plan allows no more of these: archive some, or upgrade the plan."
  }
  outcome "forbidden" {
    when = response.body.errors[0].extensions.type == "feature not accessible"
    hint = "The workspace's plan does not have this feature: do without it, or upgrade the plan."
  }
  outcome "validation" {
    when = response.body.errors[0].extensions.type == "invalid input"
    hint = "A variable of the query is refused: userPresentableMessage says which."
  }
  # A limit is a 400 (linear.app/developers/rate-limiting, read 2026-11-23).
  outcome "rate_limited" {
    when = response.body.errors[0].extensions.code == "RATELIMITED"
    hint = "Linear's requests or points of this hour are used up: ask for fewer nodes, and use webhooks instead of polling."
  }
  outcome "auth" {
    when = response.status == 401 || response.body.errors[0].extensions.code == "AUTHENTICATION_ERROR"
    hint = "Linear refuses the token or key: it has expired, or was revoked."
  }
  outcome "forbidden" {
    when = response.body.errors[0].extensions.code == "FORBIDDEN"
    hint = "The token lacks the scope, or the user may not do this."
  }
  # GraphQL says 200 when it means no.
  outcome "client_error" {
    when = response.status == 200 && response.body.errors[0] != null && response.body.data == null
    hint = "GraphQL refused the query: the message says why; its path says where."
  }
}

webhook "linear" {
  provider = "linear"
  headers  = ["Linear-Delivery", "Linear-Event"]
  # linear.app/developers/webhooks; not looked up, 2026-11-29.
  verify "hmac" {
    header    = "Linear-Signature"
    time      = body.webhookTimestamp
    unit      = "ms"
    tolerance = "1m"
  }
  # The id is not signed. webhookTimestamp is when the request was sent (automatelab.tech/saas-webhooks/linear, read
  # 2026-11-30), so a repeat has another.
  event {
    id      = header["Linear-Delivery"]
    type    = body.type
    account = body.organizationId
    time    = body.createdAt
    unit    = "rfc3339"
    key     = body.data.id
    varies  = [body.webhookTimestamp]
  }
}
