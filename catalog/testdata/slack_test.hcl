test "a 200 that says invalid_auth is an auth failure" {
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
  }
  upstream { body = "{\"ok\":false,\"error\":\"invalid_auth\"}" }
  expect {
    status   = 200
    attempts = 1
    outcome  = "auth"
    body     = "{\"ok\":false,\"error\":\"invalid_auth\"}"
  }
}

test "a 200 that says ratelimited did nothing, and is done again" {
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
  }
  upstream {
    body   = "{\"ok\":false,\"error\":\"ratelimited\"}"
    header = { "Retry-After" = "3" }
  }
  upstream { body = "{\"ok\":true}" }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
  }
  assert { condition = waited >= 3 }
}

test "a message that may have been posted is not posted again" {
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
  }
  upstream { status = 503 }
  expect {
    status   = 503
    attempts = 1
  }
}

test "a revoked token is no reason to try again" {
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
  }
  upstream {
    body = "{\"ok\":false,\"error\":\"token_revoked\"}"
  }
  expect {
    status   = 200
    attempts = 1
    outcome  = "auth"
  }
}
