test "a payment carries the key, and a key of idempotency" {
  request {
    method = "POST"
    url    = "https://acme-checkout-live.adyenpayments.com/checkout/v71/payments"
  }
  upstream {}
  expect {
    status = 200
  }
  assert { condition = sent[0].header["X-Api-Key"] == "stand-in-for-env-ADYEN_KEY" && sent[0].header["Idempotency-Key"] != null }
}

test "a transient error is tried again with the same key" {
  request {
    method = "POST"
    url    = "https://acme-checkout-live.adyenpayments.com/checkout/v71/payments"
  }
  upstream {
    status = 422
    header = { "transient-error" = "true" }
    body   = "{\"status\":422,\"errorCode\":\"905\",\"message\":\"Payment details are not supported\"}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = sent[0].header["Idempotency-Key"] == sent[1].header["Idempotency-Key"] }
}

test "an error that is not transient is final" {
  request {
    method = "POST"
    url    = "https://acme-checkout-live.adyenpayments.com/checkout/v71/payments"
  }
  upstream {
    status = 500
    header = { "transient-error" = "false" }
  }
  expect {
    status   = 500
    attempts = 1
  }
}

test "a request that is still running is a conflict" {
  request {
    method = "POST"
    url    = "https://acme-checkout-live.adyenpayments.com/checkout/v71/payments"
  }
  upstream {
    status = 422
    body   = "{\"status\":422,\"errorCode\":\"704\",\"message\":\"request already processed or in progress\"}"
  }
  expect {
    status   = 422
    attempts = 1
    outcome  = "conflict"
  }
}
