test "a token that was revoked costs nothing while the other is good" {
  request { url = "https://api.github.com/repos/o/r/issues" }
  upstream { status = 401 }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = sent[0].header["Authorization"] != sent[1].header["Authorization"] }
}

# GitHub has no idempotency keys, so nobody can know whether the issue exists.
test "an issue that may have been opened is not opened again" {
  request {
    method = "POST"
    url    = "https://api.github.com/repos/o/r/issues"
    header = { "Content-Type" = "application/json" }
    body   = "{\"title\":\"It is broken\"}"
  }
  upstream { fault = "reset" }
  expect {
    status   = 502
    code     = "unreachable"
    attempts = 1
    executed = "maybe"
  }
}

test "a repository cannot be deleted from here" {
  request {
    method = "DELETE"
    url    = "https://api.github.com/repos/o/r"
  }
  expect {
    status   = 403
    code     = "not_allowed"
    executed = "no"
  }
}
