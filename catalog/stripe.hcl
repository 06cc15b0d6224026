# Stripe. Facts were checked on 2026-11-29; the source stands beside each.

provider "stripe" {
  hosts = ["api.stripe.com"]

  endpoints = [
    "/v1/charges", "/v1/charges/{id}",
    "/v1/checkout/sessions", "/v1/checkout/sessions/{id}",
    "/v1/customers", "/v1/customers/{id}", "/v1/customers/search",
    "/v1/events", "/v1/events/{id}",
    "/v1/invoices", "/v1/invoices/{id}", "/v1/invoices/{id}/{action}",
    "/v1/payment_intents", "/v1/payment_intents/{id}", "/v1/payment_intents/{id}/{action}",
    "/v1/payment_methods", "/v1/payment_methods/{id}", "/v1/payment_methods/{id}/{action}",
    "/v1/prices", "/v1/prices/{id}",
    "/v1/products", "/v1/products/{id}",
    "/v1/refunds", "/v1/refunds/{id}",
    "/v1/setup_intents", "/v1/setup_intents/{id}",
    "/v1/subscriptions", "/v1/subscriptions/{id}",
    "/v2/**",
  ]

  # A secret or, better, a restricted key (docs.stripe.com/keys; not looked up):
  # expect(env("STRIPE_KEY"), "^(sk|rk)_live_") keeps the sandbox's key out of production.
  credential "bearer" {}

  # Connect, for accounts that grant access: client_id is the platform's ca_…,
  # client_secret its secret key. Tokens have no end; a refresh token is good for one of
  # another scope (docs.stripe.com/connect/oauth-reference; not looked up). Paths as
  # stripe-node 23.1.0 has them. To deauthorize takes the secret key, not a client's
  # Basic. PKCE is not in the documentation; NangoHQ/nango 2f4c0af sends it, so it does
  # no harm.
  credential "oauth2" {
    authorize_url = "https://connect.stripe.com/oauth/authorize"
    token_url     = "https://connect.stripe.com/oauth/token"
    revoke_url    = "https://connect.stripe.com/oauth/deauthorize"
    auth          = "post"
    revoke {
      auth    = "none"
      headers = { Authorization = "Bearer {client_secret}" }
      params  = { client_id = "{client_id}", stripe_user_id = "{stripe_user_id}" }
    }
  }

  # The version that stripe-node 23.1.0 pins (its package, 2026-11).
  version {
    header = "Stripe-Version"
    pin    = "2026-10-28.endive"
    echo   = response.header["Stripe-Version"]
  }

  # Keys of up to 255 characters are honoured on every POST of v1 and kept for
  # 24 h at least; a saved 500 is replayed for the key; a request that meets one that is
  # running is refused and not saved (docs.stripe.com/api/idempotent_requests): by a 409
  # (docs.stripe.com/api/errors).
  idempotency {
    header    = "Idempotency-Key"
    methods   = ["POST"]
    length    = 255
    lifetime  = "24h"
    final     = [500]
    in_flight = [409]
  }

  # stripe-node 23.1.0: Stripe-Should-Retry first; else connection errors, 409
  # and 5xx; 0.5 s doubling to 5 s.
  retry {
    attempts = 4
    on       = ["rate_limited", "conflict", "server_error", "timeout", "unreachable"]
    verdict  = response.header["Stripe-Should-Retry"]
    stop     = "Stripe-Should-Retry"
    backoff {
      first = "500ms"
      max   = "5s"
    }
  }

  # 100 requests a second in live mode, 25 in a sandbox (docs.stripe.com/rate-limits).
  limit "published" {
    rate  = "100/s"
    burst = 100
    wait  = "5s"
  }

  # 80 s is the time limit of Stripe's own libraries.
  timeout {
    attempt = "80s"
    total   = "120s"
  }

  # Endpoints have limits of their own (docs.stripe.com/rate-limits, read 2026-11-23), and
  # lock_timeout is about one object.
  cooldown { scope = "endpoint" }

  breaker {}

  error {
    code       = response.body.error.code
    message    = response.body.error.message
    request_id = response.header["Request-Id"]
  }

  # An object is locked by another request: nothing was done
  # (docs.stripe.com/rate-limits#object-lock-timeouts).
  outcome "rate_limited" {
    when = (response.status == 409 || response.status == 429) && response.body.error.code == "lock_timeout"
    hint = "Another request holds a lock on the object: it is sent again by itself. If it lasts, change the object from one place at a time."
  }
  outcome "conflict" {
    when = response.status == 409 && response.body.error.code == "idempotency_key_in_use"
    hint = "The first request with this key is still running: repeat it with the same key in a moment."
  }
  # docs.stripe.com/rate-limits, read 2026-11-23.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Stripe's rate limit is reached: spread bulk work, and set a limit in the policy; Stripe-Rate-Limited-Reason says which of Stripe's it was."
  }
  # docs.stripe.com/error-codes; not looked up. A card error is the customer's, all
  # others are the request's.
  outcome "client_error" {
    when = response.status == 402 && response.body.error.code == "authentication_required"
    hint = "The bank wants the customer to confirm: bring them back and confirm the PaymentIntent on session."
  }
  outcome "not_found" {
    when = response.status >= 400 && response.body.error.code == "resource_missing"
    hint = "There is no such object in this mode and account: check the id, whether the key is of test or live mode, and Stripe-Account."
  }
  outcome "validation" {
    when = response.status >= 400 && (response.body.error.code == "livemode_mismatch" || response.body.error.code == "testmode_charges_only")
    hint = "Test and live mode are mixed: the key and all objects have to be of one."
  }
  outcome "validation" {
    when = response.status >= 400 && (response.body.error.code == "parameter_missing" || response.body.error.code == "parameter_unknown")
    hint = "error.param names the parameter that is missing or not known; compare the version that the policy pins with the one of your code."
  }
  outcome "auth" {
    when = response.status == 401 && response.body.error.code == "api_key_expired"
    hint = "The Stripe key has expired: put a new one where the policy's credential reads it."
  }
  # docs.stripe.com/keys#roll-api-key; not looked up.
  outcome "auth" {
    when = response.status == 401
    hint = "Stripe refuses the key: it was rolled or deleted; put the new one where the policy reads it."
  }
  # docs.stripe.com/error-codes; not looked up.
  outcome "forbidden" {
    when = response.status == 403 && response.body.error.code == "account_invalid"
    hint = "The account of Stripe-Account is not connected to this platform (any more)."
  }
  outcome "validation" {
    when = response.status == 400 && response.body.error.type == "idempotency_error"
    hint = "This Idempotency-Key was used for another request: a new operation needs a new key."
  }
  # A declined card is the card's doing, not the request's.
  outcome "client_error" {
    when = response.status == 402
    hint = "The payment was declined: show error.decline_code to the customer."
  }
}

webhook "stripe" {
  provider = "stripe"
  # docs.stripe.com/webhooks#verify-manually, 2026-11. The secret is used as it is
  # written, whsec_ included; v0 is a test scheme and never accepted.
  verify "hmac" {
    header          = "Stripe-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    message         = "${timestamp}.${raw_body}"
  }
  # docs.stripe.com/api/events/types; not verified, 2026-11-29
  revoked_by = event.type == "account.application.deauthorized"
  # pending_webhooks counts the endpoints that have not taken it yet (pub.dev/documentation/stripe_api_client, Event,
  # which is made of Stripe's own description, looked up 2026-11-30). context is the account of v2 events (facts of
  # 2026-11).
  event {
    id      = body.id
    type    = body.type
    account = coalesce(body.account, body.context)
    time    = body.created
    key     = coalesce(body.data.object.id, body.related_object.id)
    varies  = [body.pending_webhooks]
  }
  # Events of the last 30 days, the newest first (rubydoc.info/gems/stripe, Stripe::EventService,
  # and stripity_stripe's list/2 for the parameters, looked up 2026-11-29). The bodies are not those of
  # the pushes: pending_webhooks counts down.
  reconcile {
    window = "30d"
    list   = "/v1/events?created[gte]=${since}&limit=100"
    events = response.body.data
    next   = response.body.has_more ? "/v1/events?created[gte]=${since}&limit=100&starting_after=${last.id}" : null
  }
}
