test "a 503 is retried with the same key, at the pinned version" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
    body   = "amount=100"
    header = { "Content-Type" = "application/x-www-form-urlencoded", "Authorization" = "Bearer of-the-application" }
  }
  upstream { status = 503 }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
    source   = "provider"
  }
  assert {
    condition = sent[0].header["Idempotency-Key"] != null && sent[0].header["Idempotency-Key"] == sent[1].header["Idempotency-Key"]
    error     = "each attempt must carry the same key"
  }
  assert {
    condition = sent[1].header["Stripe-Version"] == "2026-10-28.endive"
  }
  assert {
    condition = sent[1].header["Authorization"] == "Bearer stand-in-for-env-STRIPE_KEY"
    error     = "the application's own Authorization must be replaced"
  }
}

test "the application's own key is kept" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/refunds"
    header = { "Idempotency-Key" = "order-7" }
  }
  upstream { fault = "reset" }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert {
    condition = sent[0].header["Idempotency-Key"] == "order-7" && sent[1].header["Idempotency-Key"] == "order-7"
  }
}

test "a saved 500 is final for its key" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream { status = 500 }
  expect {
    status   = 500
    attempts = 1
    outcome  = "server_error"
    source   = "provider"
  }
}

test "a 500 of a GET is retried" {
  request { url = "https://api.stripe.com/v1/charges/ch_1" }
  upstream { status = 500 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}

test "Stripe's own word comes first" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream {
    status = 503
    header = { "Stripe-Should-Retry" = "false" }
  }
  expect {
    status   = 503
    attempts = 1
  }
}

test "Retry-After of a 429 is waited for" {
  request { url = "https://api.stripe.com/v1/customers" }
  upstream {
    status = 429
    header = { "Retry-After" = "7" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 7 && waited < 8 }
}

test "a lock timeout is a rate limit, and done again" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/customers"
  }
  upstream {
    status = 409
    body   = "{\"error\":{\"code\":\"lock_timeout\"}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}

test "a declined card reaches the application as it is" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream {
    status = 402
    body   = "{\"error\":{\"code\":\"card_declined\",\"decline_code\":\"insufficient_funds\"}}"
  }
  expect {
    status   = 402
    attempts = 1
    outcome  = "client_error"
    body     = "{\"error\":{\"code\":\"card_declined\",\"decline_code\":\"insufficient_funds\"}}"
  }
}

test "an expired key says so" {
  request { url = "https://api.stripe.com/v1/customers" }
  upstream {
    status = 401
    body   = "{\"error\":{\"code\":\"api_key_expired\"}}"
  }
  expect {
    status   = 401
    attempts = 1
    outcome  = "auth"
  }
}

test "nothing else of the host is reached" {
  request { url = "https://files.stripe.com/v1/files" }
  expect {
    status = 403
    code   = "no_provider"
  }
}

test "stripe-node makes no attempt after the last one" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream {
    status = 503
    header = { "Stripe-Should-Retry" = "true" }
  }
  expect {
    status   = 503
    attempts = 4
    header   = { "Stripe-Should-Retry" = "false" }
  }
}

test "nor after a failure that Postern reports" {
  request { url = "https://api.stripe.com/v1/customers" }
  upstream { fault = "refuse" }
  expect {
    status   = 502
    code     = "unreachable"
    attempts = 4
    header   = { "Stripe-Should-Retry" = "false" }
  }
}

test "a refused payment is no word about retries" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream { status = 402 }
  expect { status = 402 }
  assert { condition = response.header["Stripe-Should-Retry"] == null }
}
