test "a call carries the address and the API token by Basic" {
  request { url = "https://acme.atlassian.net/rest/api/3/issue/KEY-1" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Basic ${base64encode("me@example.com:stand-in-for-env-ATLASSIAN_TOKEN")}" && sent[0].host == "acme.atlassian.net" }
}

test "Retry-After of a 429 is waited for" {
  request { url = "https://acme.atlassian.net/rest/api/3/issue/KEY-1" }
  upstream {
    status = 429
    header = { "Retry-After" = "5", "RateLimit-Reason" = "jira-burst-based" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 5 }
}

test "the points of the hour begin anew at a time of ISO 8601" {
  request { url = "https://acme.atlassian.net/rest/api/3/myself" }
  upstream {
    status = 429
    header = { "RateLimit-Reason" = "jira-burst-based", "X-RateLimit-Reset" = "2000-01-01T00:00:07Z" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited == 7 }
}
