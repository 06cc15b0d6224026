# Adyen's Checkout and other APIs. Facts were checked on 2026-11-29; the source stands
# beside each.

provider "adyen" {
  # Live hosts begin with a prefix of the company's own: write that one, such as
  # hosts = ["1797a841fbb37ca7-AdyenDemo-checkout-live.adyenpayments.com"] in small
  # letters. The test host is checkout-test.adyen.com
  # (docs.adyen.com/development-resources/live-endpoints; not looked up).
  hosts = ["*.adyenpayments.com"]

  endpoints = [
    "/checkout/{version}/payments", "/checkout/{version}/payments/details", "/checkout/{version}/payments/{id}/{action}",
    "/checkout/{version}/sessions", "/checkout/{version}/sessions/{id}", "/checkout/{version}/paymentMethods",
    "/checkout/{version}/paymentLinks", "/checkout/{version}/paymentLinks/{id}", "/checkout/{version}/**",
    "/pal/servlet/**",
  ]

  # The key of an API credential (@adyen/api-library 32.1.0).
  credential "header" { name = "X-API-Key" }

  # Keys of up to 64 characters are honoured on POST, within a company account, for 31
  # days at least (docs.adyen.com/development-resources/api-idempotency, looked up).
  idempotency {
    header    = "Idempotency-Key"
    methods   = ["POST"]
    length    = 64
    lifetime  = "31d"
    in_flight = [409]
  }

  # transient-error: true says that the same request with the same key may go through
  # later (github.com/api-evangelist/adyen, read 2026-11-23).
  retry {
    attempts = 4
    on       = ["rate_limited", "server_error", "timeout", "unreachable"]
    verdict  = response.header["transient-error"]
    backoff {
      first = "500ms"
      max   = "10s"
    }
  }

  # Own knowledge: a payment may wait for a bank.
  timeout {
    attempt = "60s"
    total   = "120s"
  }

  breaker {}

  # github.com/api-evangelist/adyen, read 2026-11-23; docs.adyen.com/errors, looked up, for
  # those that come as application/problem+json.
  error {
    code       = response.body.errorCode
    message    = coalesce(response.body.message, response.body.detail)
    request_id = coalesce(response.body.pspReference, response.body.requestId)
  }

  # 704: the same source. Nothing new was done.
  outcome "conflict" {
    when = (response.status == 409 || response.status == 422) && response.body.errorCode == "704"
    hint = "The first request with this key is still running, or its answer is not ready: repeat it with the same key in a moment."
  }
  # docs.adyen.com/development-resources/error-codes; not looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Too many calls of this account: spread them, and set a limit in the policy."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Adyen refuses the key: it was replaced, or is of the other platform (test or live)."
  }
  outcome "forbidden" {
    when = response.status == 403 && response.body.errorCode == "901"
    hint = "There is no such merchant account for this credential: check merchantAccount, and which accounts the credential may use."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The credential lacks a role, or this address is not allowed for it: see its settings in the Customer Area."
  }
  outcome "validation" {
    when = response.status == 422
    hint = "A field is refused; errorCode and message name it. Sent as it is, it fails again."
  }
}

# verify "adyen": docs.adyen.com/development-resources/webhooks/secure-webhooks, facts of
# 2026-11. Webhooks of platforms and management are signed in the header hmacsignature over
# the body: write verify "hmac" for them.
webhook "adyen" {
  provider = "adyen"
  event {
    split   = body.notificationItems
    id      = "${item.NotificationRequestItem.pspReference} ${item.NotificationRequestItem.eventCode} ${item.NotificationRequestItem.success}"
    type    = item.NotificationRequestItem.eventCode
    account = item.NotificationRequestItem.merchantAccountCode
    time    = item.NotificationRequestItem.eventDate
    unit    = "rfc3339"
    key     = item.NotificationRequestItem.merchantReference
  }
}
