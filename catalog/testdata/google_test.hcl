test "a call carries the API key" {
  request { url = "https://www.googleapis.com/books/v1/volumes?q=isbn" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["X-Goog-Api-Key"] == "stand-in-for-env-GOOGLE_KEY" && sent[0].query == "q=isbn" }
}

test "a 403 may be a minute's limit" {
  request { url = "https://www.googleapis.com/drive/v3/files" }
  upstream {
    status = 403
    body   = "{\"error\":{\"code\":403,\"message\":\"User Rate Limit Exceeded\",\"errors\":[{\"reason\":\"userRateLimitExceeded\"}]}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}

test "a 403 that is a limit is waited for, by the time in its message" {
  request { url = "https://www.googleapis.com/gmail/v1/users/me/messages" }
  upstream {
    status = 403
    body   = "{\"error\":{\"code\":403,\"message\":\"User-rate limit exceeded.  Retry after 2000-01-01T00:00:20.5Z\",\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 20.5 && waited < 20.6 }
}

test "or by google.rpc.RetryInfo" {
  request { url = "https://www.googleapis.com/gmail/v1/users/me/messages" }
  upstream {
    status = 429
    body   = "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"m\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\"},{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"3.5s\"}]}}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited == 3.5 }
}
