# PayPal's REST APIs. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "paypal" {
  # The sandbox is api-m.sandbox.paypal.com, for which `hosts` and the credential's
  # token_url are both to be written (developer.paypal.com/api/make-api-requests).
  hosts = ["api-m.paypal.com"]

  endpoints = [
    "/v1/oauth2/token",
    "/v2/checkout/orders", "/v2/checkout/orders/{id}", "/v2/checkout/orders/{id}/capture", "/v2/checkout/orders/{id}/authorize",
    "/v2/payments/captures/{id}", "/v2/payments/captures/{id}/refund", "/v2/payments/authorizations/{id}/**", "/v2/payments/refunds/{id}",
    "/v2/invoicing/**", "/v1/billing/**", "/v1/payments/payouts", "/v1/payments/payouts/{id}", "/v1/notifications/**",
  ]

  # The application's own token, for about nine hours; id and secret by Basic
  # (developer.paypal.com/api/rest/authentication). An SDK that asks for one by
  # itself, at the same host, is answered by Postern.
  credential "oauth2_client_credentials" {
    token_url = "https://api-m.paypal.com/v1/oauth2/token"
  }

  # Honoured by POSTs that move money, and kept for up to 45 days
  # (github.com/api-evangelist/paypal, read 2026-11-23). How long differs from API to API
  # (developer.paypal.com/reference/guidelines/idempotency, read 2026-11-29); the shortest
  # that we know of is that of Orders, 6 h (developer.paypal.com/docs/api/orders/v2; not
  # looked up).
  idempotency {
    header   = "PayPal-Request-Id"
    methods  = ["POST"]
    lifetime = "6h"
  }

  # No numbers of the rate limit are published (github.com/api-evangelist/paypal,
  # read 2026-11-23).
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  timeout {
    attempt = "60s"
    total   = "120s"
  }

  breaker {}

  # The same source; the token endpoint and a refused token
  # have error and error_description.
  error {
    code       = coalesce(response.body.name, response.body.error)
    message    = coalesce(response.body.message, response.body.error_description)
    request_id = response.header["Paypal-Debug-Id"]
  }

  # developer.paypal.com/api/rest/reference/orders/v2/errors; not looked up.
  outcome "client_error" {
    when = response.status >= 400 && response.body.details[0].issue == "INSTRUMENT_DECLINED"
    hint = "The bank declined: send the buyer back to PayPal to choose another way of paying (rel payer-action)."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.details[0].issue == "ORDER_ALREADY_CAPTURED"
    hint = "The order is captured already: read it, and go on with that capture."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.details[0].issue == "DUPLICATE_INVOICE_ID"
    hint = "A payment with this invoice_id was made before: look for it before you choose another id."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.details[0].issue == "PREVIOUS_REQUEST_IN_PROGRESS"
    hint = "The first request with this PayPal-Request-Id is still running: repeat it with the same id in a moment."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The application lacks the feature or the seller's consent (NOT_AUTHORIZED): turn it on in the developer dashboard."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "PayPal refuses the token: a new one is asked for. If that does not help, the application's secret was changed."
  }
  outcome "rate_limited" {
    when = response.status == 429 || response.status >= 400 && response.body.name == "RATE_LIMIT_REACHED"
    hint = "PayPal took the calls for too many: wait, then make them more slowly. It publishes no numbers."
  }
}

# verify "paypal": developer.paypal.com/api/rest/webhooks/rest, facts of 2026-11. Events
# of the simulator cannot be verified. Whether a repeat bears the time of the first is not
# verified: if PayPal's repeats are refused as stale, raise the tolerance.
webhook "paypal" {
  provider = "paypal"
  event {
    id   = body.id
    type = body.event_type
    time = body.create_time
    unit = "rfc3339"
    key  = body.resource.id
  }
  # github.com/paypal/paypal-rest-api-specifications, notifications_webhooks_v1.json: events, and links of
  # which one is next, looked up 2026-11-29. That they go back 30 days is not verified.
  reconcile {
    window = "30d"
    list   = "/v1/notifications/webhooks-events?page_size=100&start_time=${since}"
    events = response.body.events
    next   = try([for l in response.body.links : l.href if l.rel == "next"][0], null)
    unit   = "rfc3339"
  }
}
