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
