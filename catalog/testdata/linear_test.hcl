test "a key goes without Bearer" {
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
    header = { "Authorization" = "Bearer mine", "Content-Type" = "application/json" }
    body   = "{\"query\":\"{viewer{id}}\"}"
  }
  upstream { body = "{\"data\":{\"viewer\":{\"id\":\"1\"}}}" }
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "stand-in-for-env-LINEAR_KEY" && sent[0].host == "api.linear.app" }
}

test "a 400 that says RATELIMITED is waited for" {
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  upstream {
    status = 400
    body   = "{\"errors\":[{\"message\":\"Rate limit exceeded\",\"extensions\":{\"code\":\"RATELIMITED\"}}]}"
  }
  upstream { body = "{\"data\":{}}" }
  expect {
    status   = 200
    attempts = 2
  }
}

test "a 200 without data is a failure" {
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  upstream { body = "{\"data\":null,\"errors\":[{\"message\":\"Entity not found\",\"extensions\":{\"code\":\"INPUT_ERROR\"}}]}" }
  expect {
    status  = 200
    outcome = "client_error"
  }
}

test "the hour begins anew at a time in milliseconds" {
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  upstream {
    status = 400
    header = { "Content-Type" = "application/json", "X-RateLimit-Requests-Remaining" = "0", "X-RateLimit-Requests-Reset" = "946684809500" }
    body   = "{\"errors\":[{\"message\":\"Rate limit exceeded\",\"extensions\":{\"code\":\"RATELIMITED\"}}]}"
  }
  upstream {
    body = "{\"data\":{}}"
  }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 9.5 && waited < 9.6 }
}

test "points of an hour come back all the time" {
  request { url = "https://api.linear.app/graphql" }
  upstream {
    status = 503
    header = { "X-RateLimit-Complexity-Remaining" = "0", "X-RateLimit-Complexity-Limit" = "1800", "X-Complexity" = "7" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 2 && waited < 3 }
}
