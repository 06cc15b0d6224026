# Square's APIs. Facts were checked on 2026-11-29; the source stands beside each.

provider "square" {
  # The sandbox is connect.squareupsandbox.com, for which `hosts` and the URLs of the
  # credential are all to be written (square 46.0.0, environments).
  hosts = ["connect.squareup.com"]

  endpoints = [
    "/v2/payments", "/v2/payments/{id}", "/v2/payments/{id}/{action}", "/v2/refunds", "/v2/refunds/{id}",
    "/v2/orders", "/v2/orders/{id}", "/v2/orders/search", "/v2/customers", "/v2/customers/{id}", "/v2/customers/search",
    "/v2/invoices", "/v2/invoices/{id}", "/v2/invoices/{id}/{action}", "/v2/catalog/**", "/v2/inventory/**", "/v2/locations", "/v2/locations/{id}",
    "/v2/subscriptions/**", "/v2/merchants/{id}", "/oauth2/{what}",
  ]

  # The application's own access token
  # (developer.squareup.com/docs/build-basics/access-tokens; not looked up).
  credential "bearer" {}

  # Tokens last 30 days, the refresh token does not end and stays the same. PKCE is
  # for clients without a secret only (square 46.0.0, ObtainToken). To revoke, the
  # secret goes after the word Client, and all tokens of the seller end
  # (developer.squareup.com/docs/oauth-api/refresh-revoke-limit-scope).
  credential "oauth2" {
    authorize_url    = "https://connect.squareup.com/oauth2/authorize"
    authorize_params = { session = "false" }
    token_url        = "https://connect.squareup.com/oauth2/token"
    revoke_url       = "https://connect.squareup.com/oauth2/revoke"
    pkce             = false
    auth             = "post"
    format           = "json"
    headers          = { Square-Version = "2026-09-16" }
    revoke {
      auth    = "none"
      format  = "json"
      headers = { Authorization = "Client {client_secret}", Square-Version = "2026-09-16" }
      params  = { client_id = "{client_id}", access_token = "{access_token}" }
    }
  }

  # The version that square 46.0.0 sends; every answer names the one it used
  # (github.com/api-evangelist/square, read 2026-11-23).
  version {
    header = "Square-Version"
    pin    = "2026-09-16"
    echo   = response.header["Square-Version"]
  }

  # The key stands in the body, and not every request has one (square 46.0.0). It has
  # 45 characters at most. How long Square knows it is not published
  # (developer.squareup.com/forums/t/28303, read 2026-11-29): the hour is ours.
  route "POST /v2/payments" {
    idempotency {
      field    = "idempotency_key"
      length   = 45
      lifetime = "1h"
    }
  }
  route "POST /v2/refunds" {
    idempotency {
      field    = "idempotency_key"
      length   = 45
      lifetime = "1h"
    }
  }
  route "POST /v2/customers" {
    idempotency {
      field    = "idempotency_key"
      length   = 45
      lifetime = "1h"
    }
  }
  route "POST /v2/orders" {
    idempotency {
      field    = "idempotency_key"
      length   = 45
      lifetime = "1h"
    }
  }

  # square 46.0.0: 408, 429 and 5xx, 1 s doubling to 60 s.
  retry {
    attempts = 3
    # square 46.0.0 reads it after Retry-After, in seconds since 1970.
    after = response.header["X-RateLimit-Reset"]
    unit  = "epoch_seconds"
    backoff {
      first = "1s"
      max   = "60s"
    }
  }

  timeout {
    attempt = "60s"
    total   = "150s"
  }

  breaker {}

  # The same source.
  error {
    code    = response.body.errors[0].code
    message = response.body.errors[0].detail
  }

  # developer.squareup.com/docs/build-basics/general-considerations/handling-errors; not
  # looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Square's limit is reached: spread the calls, and use the batch endpoints."
  }
  outcome "validation" {
    when = response.status >= 400 && response.body.errors[0].code == "IDEMPOTENCY_KEY_REUSED"
    hint = "This idempotency_key was used for another request: a new operation needs a new key."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.errors[0].code == "VERSION_MISMATCH"
    hint = "The object was changed since you read it: read it again, and send its new version."
  }
  outcome "client_error" {
    when = response.status >= 400 && response.body.errors[0].category == "PAYMENT_METHOD_ERROR"
    hint = "The payment was declined: have the customer check the card, or use another one."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Square refuses the token (ACCESS_TOKEN_EXPIRED, ACCESS_TOKEN_REVOKED or UNAUTHORIZED), or it is of the other environment."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The token lacks a permission (INSUFFICIENT_SCOPES): the detail names it."
  }
}

webhook "square" {
  provider = "square"
  # github.com/square/square-go-sdk, verify_signature_test.go, whose vectors it passes, 2026-11-29. The
  # URL is that of the subscription, to the letter.
  verify "hmac" {
    header   = "X-Square-HmacSha256-Signature"
    encoding = "base64"
    message  = "${url}${raw_body}"
  }
  # developer.squareup.com/reference/square/webhooks/oauth.authorization.revoked, read 2026-11-30.
  revoked_by = event.type == "oauth.authorization.revoked"
  event {
    id      = body.event_id
    type    = body.type
    account = body.merchant_id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.data.id
  }
  # developer.squareup.com/reference/square/events-api/SearchEvents: POST /v2/events, 28 days, cursor empty
  # at the end, looked up 2026-11-29; the members of query not verified. Events have to be made searchable
  # once (PUT /v2/events/enable).
  reconcile {
    window = "28d"
    list   = "/v2/events"
    method = "POST"
    json = {
      cursor = response.body.cursor
      limit  = 100
      query = {
        filter = { created_at = { start_at = since } }
        sort   = { order = "ASC" }
      }
    }
    events = response.body.events == null ? [] : response.body.events
    next   = response.body.cursor == null || response.body.cursor == "" ? null : "/v2/events"
    unit   = "rfc3339"
  }
}
