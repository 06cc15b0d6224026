# What this policy promises, tested offline and in virtual time, with stand-ins
# for the secrets: `postern -c examples/quickstart test`. Each `upstream` block is
# the provider's answer to one attempt; `sent` is what reached it.

test "the application's key is replaced by the real one" {
  request {
    url    = "https://api.stripe.com/v1/customers/cus_1"
    header = { "Authorization" = "Bearer placeholder" }
  }
  upstream {}
  expect { status = 200 }
  assert {
    condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-STRIPE_KEY"
    error     = "the provider must see Postern's credential, and only that"
  }
}

test "a 503 costs the application nothing" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/customers"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "email=jenny%40example.com"
  }
  upstream { status = 503 }
  upstream { status = 503 }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 3
    outcome  = "ok"
  }
  assert {
    condition = sent[0].header["Idempotency-Key"] != null
    error     = "an application that sends no key gets one"
  }
  assert {
    condition = sent[0].header["Idempotency-Key"] == sent[2].header["Idempotency-Key"] && sent[0].body == sent[2].body
    error     = "each attempt must be the same operation"
  }
}

test "the application's own idempotency key is kept" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
    header = { "Idempotency-Key" = "order-7" }
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Idempotency-Key"] == "order-7" }
}

# The hard case: the request was sent and the connection broke, so that nobody
# knows whether Stripe acted. It is sent again because it carries a key.
test "a charge whose answer was lost is made once" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
    body   = "amount=100&currency=eur"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
  }
  upstream { fault = "reset" }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = sent[0].header["Idempotency-Key"] == sent[1].header["Idempotency-Key"] }
}

test "Retry-After is waited for, to the second" {
  request { url = "https://api.stripe.com/v1/charges/ch_1" }
  upstream {
    status = 429
    header = { "Retry-After" = "20" }
  }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 2
  }
  assert {
    condition = waited >= 20 && waited < 21
    error     = "no sooner and not much later than the provider asks for"
  }
}

test "a declined card is the application's to handle" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/charges"
  }
  upstream {
    status = 402
    body   = "{\"error\":{\"code\":\"card_declined\"}}"
  }
  expect {
    status   = 402
    attempts = 1
    source   = "provider"
    body     = "{\"error\":{\"code\":\"card_declined\"}}"
  }
}

test "what is not allowed never leaves" {
  request {
    method = "POST"
    url    = "https://api.stripe.com/v1/payouts"
  }
  expect {
    status   = 403
    code     = "not_allowed"
    attempts = 0
    executed = "no"
  }
}
