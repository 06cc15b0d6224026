test "a call carries the key in x-api-key, and the pinned version" {
  request {
    method = "POST"
    url    = "https://api.anthropic.com/v1/messages"
    header = { "X-Api-Key" = "sk-ant-mine", "Content-Type" = "application/json", "anthropic-beta" = "files-api-2025-04-14" }
    body   = "{\"model\":\"m\"}"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["X-Api-Key"] == "stand-in-for-env-ANTHROPIC_KEY" && sent[0].header["Authorization"] == null }
  assert { condition = sent[0].header["Anthropic-Version"] == "2026-10-21" && sent[0].header["Anthropic-Beta"] == "files-api-2025-04-14" }
}

test "overloaded is waited for" {
  request {
    method = "POST"
    url    = "https://api.anthropic.com/v1/messages"
  }
  upstream {
    status = 529
    body   = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}

test "a wrong key is an auth failure" {
  request { url = "https://api.anthropic.com/v1/models" }
  upstream {
    status = 401
    body   = "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"invalid x-api-key\"}}"
  }
  expect {
    status   = 401
    attempts = 1
    outcome  = "auth"
  }
}

test "Anthropic's own word comes first, and its SDK is told that this was the last attempt" {
  request { url = "https://api.anthropic.com/v1/models" }
  upstream {
    status = 409
    header = { "x-should-retry" = "true" }
  }
  expect {
    status   = 409
    attempts = 3
    header   = { "X-Should-Retry" = "false" }
  }
}

test "and a no is a no" {
  request { url = "https://api.anthropic.com/v1/models" }
  upstream {
    status = 529
    header = { "x-should-retry" = "false" }
  }
  expect {
    status   = 529
    attempts = 1
  }
}

test "tokens of a minute come back all the time" {
  request { url = "https://api.anthropic.com/v1/models" }
  upstream {
    status = 503
    header = { "Anthropic-RateLimit-Output-Tokens-Remaining" = "0", "Anthropic-RateLimit-Output-Tokens-Limit" = "20" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 3 && waited < 4 }
}
