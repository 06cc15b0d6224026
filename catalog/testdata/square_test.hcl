test "a payment carries the token, the version and one key for both attempts" {
  request {
    method = "POST"
    url    = "https://connect.squareup.com/v2/payments"
    header = { "Authorization" = "Bearer mine", "Square-Version" = "2020-01-22", "Content-Type" = "application/json" }
    body   = "{\"source_id\":\"cnon\"}"
  }
  upstream { status = 503 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-SQUARE_TOKEN" && sent[0].header["Square-Version"] == "2026-09-16" && sent[0].host == "connect.squareup.com" }
  assert { condition = startswith(sent[0].body, "{\"source_id\":\"cnon\",\"idempotency_key\":\"") && sent[0].body == sent[1].body }
}

test "a request that has no key in Square's API gets none" {
  request {
    method = "POST"
    url    = "https://connect.squareup.com/v2/orders/search"
    header = { "Content-Type" = "application/json" }
    body   = "{}"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].body == "{}" }
}

test "a revoked token is an auth failure" {
  request { url = "https://connect.squareup.com/v2/locations" }
  upstream {
    status = 401
    body   = "{\"errors\":[{\"category\":\"AUTHENTICATION_ERROR\",\"code\":\"ACCESS_TOKEN_REVOKED\"}]}"
  }
  expect {
    status   = 401
    attempts = 1
    outcome  = "auth"
  }
}

test "a key that Square would not take is refused" {
  request {
    method = "POST"
    url    = "https://connect.squareup.com/v2/payments"
    body   = "{\"source_id\":\"cnon\",\"idempotency_key\":\"0123456789012345678901234567890123456789012345\"}"
    header = { "Content-Type" = "application/json" }
  }
  expect {
    status   = 400
    attempts = 0
  }
  assert { condition = problem.code == "bad_request" && length(sent) == 0 }
}
