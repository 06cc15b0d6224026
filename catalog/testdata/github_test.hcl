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

test "the primary limit is waited for until X-RateLimit-Reset" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 403
    header = { "X-RateLimit-Remaining" = "0", "X-RateLimit-Reset" = "946684840" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 40 && waited < 41 }
}

test "an hour is not waited for: the answer is given at once" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 403
    header = { "X-RateLimit-Remaining" = "0", "X-RateLimit-Reset" = "946688300" }
  }
  expect {
    status   = 403
    attempts = 1
    outcome  = "rate_limited"
  }
  assert { condition = waited == 0 }
}

test "a secondary limit without Retry-After is left alone for a minute" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/issues"
  }
  upstream {
    status = 403
    header = { "X-RateLimit-Remaining" = "4000", "X-RateLimit-Reset" = "946688400" }
    body   = "{\"message\":\"You have exceeded a secondary rate limit.\"}"
  }
  upstream {
    status = 201
  }
  expect {
    status   = 201
    attempts = 2
  }
  assert { condition = waited >= 60 && waited < 61 }
}

test "a 503 is no limit, whatever X-RateLimit-Reset says" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 503
    header = { "X-RateLimit-Remaining" = "4000", "X-RateLimit-Reset" = "946684900" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited < 2 }
}

test "GraphQL says 200 and means a limit" {
  request {
    method = "POST"
    url    = "https://api.github.com/graphql"
  }
  upstream {
    body   = "{\"errors\":[{\"type\":\"RATE_LIMITED\",\"message\":\"API rate limit exceeded\"}]}"
    header = { "Content-Type" = "application/json", "X-RateLimit-Remaining" = "0", "X-RateLimit-Reset" = "946684805" }
  }
  upstream {
    body = "{\"data\":{}}"
  }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
  }
  assert { condition = waited >= 5 && waited < 6 }
}

test "a release of which nobody knows is found by its tag" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r.x/releases"
    body   = "{\"tag_name\":\"v1.2 beta\"}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { fault = "reset" }
  upstream { status = 404 }
  upstream { body = "{\"id\":7,\"tag_name\":\"v1.2 beta\"}" }
  expect {
    status   = 201
    source   = "reconciled"
    attempts = 1
    body     = "{\"id\":7,\"tag_name\":\"v1.2 beta\"}"
  }
  assert { condition = [for s in sent : "${s.method} ${s.path}"] == ["POST /repos/o/r.x/releases", "GET /repos/o/r.x/releases/tags/v1.2%20beta", "GET /repos/o/r.x/releases/tags/v1.2%20beta"] }
}

test "a release that is not there is made" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/releases"
    body   = "{\"tag_name\":\"v1\"}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { status = 502 }
  upstream { status = 404 }
  upstream { status = 404 }
  upstream { status = 404 }
  upstream { status = 201 }
  expect {
    status   = 201
    source   = "provider"
    attempts = 2
  }
}

test "a draft is not looked up by a tag that others may have" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/releases"
    body   = "{\"tag_name\":\"v1\",\"draft\":true}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { fault = "reset" }
  expect {
    status   = 502
    executed = "maybe"
  }
  assert { condition = length(sent) == 1 }
}

test "when nothing is left of the hour a call waits for the next one" {
  request { url = "https://api.github.com/user" }
  upstream {
    status = 503
    header = { "X-RateLimit-Remaining" = "0", "X-RateLimit-Reset" = "946684805" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited > 3 && waited < 6 }
}
