# Slack says 200 when it means no.
test "a refusal in a 200 is seen for what it is" {
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
    header = { "Content-Type" = "application/json" }
    body   = "{\"channel\":\"C1\",\"text\":\"hello\"}"
  }
  upstream {
    status = 200
    body   = "{\"ok\":false,\"error\":\"token_revoked\"}"
  }
  expect {
    status   = 200
    outcome  = "auth"
    attempts = 1
  }
}

test "a rate limit is waited for" {
  request { url = "https://slack.com/api/conversations.list" }
  upstream {
    status = 429
    header = { "Retry-After" = "30" }
  }
  upstream { body = "{\"ok\":true}" }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
  }
  assert { condition = waited >= 30 }
}
