test "a call carries the key as Bearer, and the application's own organisation and project" {
  request {
    method = "POST"
    url    = "https://api.openai.com/v1/responses"
    header = { "Authorization" = "Bearer sk-mine", "OpenAI-Project" = "proj_1", "Content-Type" = "application/json" }
    body   = "{\"model\":\"m\",\"input\":\"hello\"}"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-OPENAI_KEY" && sent[0].header["Openai-Project"] == "proj_1" && sent[0].host == "api.openai.com" }
}

test "a refused key is followed by the next one" {
  request { url = "https://api.openai.com/v1/models" }
  upstream {
    status = 401
    body   = "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"Incorrect API key provided\"}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = sent[1].header["Authorization"] == "Bearer stand-in-for-env-OPENAI_KEY_BEFORE" }
}

test "a spent credit is not waited for" {
  request {
    method = "POST"
    url    = "https://api.openai.com/v1/responses"
  }
  upstream {
    status = 429
    body   = "{\"error\":{\"type\":\"insufficient_quota\",\"code\":\"credit_balance_exhausted\",\"message\":\"You exceeded your current quota\"}}"
  }
  expect {
    status   = 429
    attempts = 1
    outcome  = "quota_exhausted"
  }
}

test "OpenAI's own word comes first" {
  request { url = "https://api.openai.com/v1/models" }
  upstream {
    status = 429
    header = { "x-should-retry" = "false" }
  }
  expect {
    status   = 429
    attempts = 1
  }
}

test "a spent credit is not asked for again, whatever a header says, nor by the SDK" {
  request {
    method = "POST"
    url    = "https://api.openai.com/v1/responses"
  }
  upstream {
    status = 429
    header = { "x-should-retry" = "true" }
    body   = "{\"error\":{\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}"
  }
  expect {
    status   = 429
    attempts = 1
    outcome  = "quota_exhausted"
    header   = { "x-should-retry" = "false" }
  }
}

test "milliseconds are waited for as they are" {
  request { url = "https://api.openai.com/v1/models" }
  upstream {
    status = 429
    header = { "retry-after-ms" = "1250", "Retry-After" = "9" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 1.25 && waited < 1.3 }
  assert { condition = response.header["X-Should-Retry"] == null }
}

test "the reset of the tokens is waited for, as it is written" {
  request { url = "https://api.openai.com/v1/models" }
  upstream {
    status = 429
    header = { "x-ratelimit-remaining-requests" = "59", "x-ratelimit-reset-requests" = "1s", "x-ratelimit-reset-tokens" = "6m0s" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited == 360 }
}

test "requests of a minute come back all the time" {
  request { url = "https://api.openai.com/v1/models" }
  upstream {
    status = 503
    header = { "X-RateLimit-Remaining-Requests" = "0", "X-RateLimit-Limit-Requests" = "30", "X-RateLimit-Reset-Requests" = "1m0s" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 2 && waited < 3 }
}
