test "the API version is pinned and the newest token sent" {
  request {
    url    = "https://api.github.com/repos/o/r/issues"
    header = { "User-Agent" = "app", "X-GitHub-Api-Version" = "2026-03-10" }
  }
  upstream {}
  expect { status = 200 }
  assert {
    condition = sent[0].header["X-Github-Api-Version"] == "2022-11-28" && sent[0].header["Authorization"] == "Bearer stand-in-for-file-new"
  }
}

test "on a 401 the next token is sent, and remembered" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/issues"
    body   = "{}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { status = 401 }
  upstream { status = 201 }
  expect {
    status   = 201
    attempts = 2
  }
  assert {
    condition = sent[0].header["Authorization"] != sent[1].header["Authorization"] && sent[0].body == sent[1].body
  }
}

test "a secondary limit is a 403 that may be waited for" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 403
    header = { "Retry-After" = "60" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 60 }
}

test "another 403 is a refusal" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 403
    header = { "X-RateLimit-Remaining" = "4999" }
    body   = "{\"message\":\"Resource not accessible by integration\"}"
  }
  expect {
    status   = 403
    attempts = 1
    outcome  = "forbidden"
  }
}

test "a POST that may have been done is not sent again: GitHub has no keys" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/issues"
  }
  upstream { fault = "reset" }
  expect {
    status   = 502
    attempts = 1
    executed = "maybe"
    code     = "unreachable"
  }
}

test "what never left may be sent again" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/issues"
  }
  upstream { fault = "refuse" }
  upstream { status = 201 }
  expect {
    status   = 201
    attempts = 2
  }
}
