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

# What Slack posts: refused unsigned, delivered signed, and once.
test "an event that nobody signed is refused" {
  webhook {
    path = "/slack"
    body = "{\"type\":\"event_callback\",\"event_id\":\"Ev1\"}"
  }
  expect {
    status = 401
    stored = 0
  }
}

test "an event is delivered again until the application takes it" {
  webhook {
    path = "/slack"
    body = "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event\":{\"type\":\"message\"}}"
    sign = true
  }
  application { status = 503 }
  application { status = 200 }
  expect {
    status    = 200
    stored    = 1
    delivered = 2
    state     = "applied"
  }
}
