test "a call carries the key as Bearer" {
  request {
    method = "POST"
    url    = "https://api.sendgrid.com/v3/mail/send"
    header = { "Authorization" = "Bearer SG.mine", "Content-Type" = "application/json" }
    body   = "{}"
  }
  upstream { status = 202 }
  expect { status = 202 }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-SENDGRID_KEY" && sent[0].host == "api.sendgrid.com" && sent[0].path == "/v3/mail/send" }
}

test "a message that may have been sent is not sent again" {
  request {
    method = "POST"
    url    = "https://api.sendgrid.com/v3/mail/send"
  }
  upstream { status = 500 }
  expect {
    status   = 500
    attempts = 1
  }
}

test "a key without the scope is not a wrong key" {
  request { url = "https://api.sendgrid.com/v3/templates" }
  upstream {
    status = 403
    body   = "{\"errors\":[{\"field\":null,\"message\":\"access forbidden\"}]}"
  }
  expect {
    status  = 403
    outcome = "forbidden"
  }
}

test "X-RateLimit-Reset is waited for" {
  request { url = "https://api.sendgrid.com/v3/scopes" }
  upstream {
    status = 429
    header = { "X-RateLimit-Reset" = "946684812" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 12 && waited < 13 }
}

test "spent credits are no wrong key, and not waited for" {
  request {
    method = "POST"
    url    = "https://api.sendgrid.com/v3/mail/send"
  }
  upstream {
    status = 401
    body   = "{\"errors\":[{\"message\":\"Maximum credits exceeded\",\"field\":null}]}"
  }
  expect {
    status   = 401
    attempts = 1
    outcome  = "quota_exhausted"
  }
}

test "an endpoint of which nothing is left is called again at its reset" {
  request { url = "https://api.sendgrid.com/v3/templates" }
  upstream {
    status = 503
    header = { "X-RateLimit-Remaining" = "0", "X-RateLimit-Reset" = "946684803" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 2 && waited < 4 }
}
