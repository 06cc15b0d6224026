test "the token is asked for at the org's own host, and goes where its answer says" {
  request {
    url     = "https://acme.my.salesforce.com/services/data/v65.0/limits"
    account = "acme"
  }
  token { body = "{\"access_token\":\"00D1\",\"instance_url\":\"https://acme.my.salesforce.com\",\"token_type\":\"Bearer\"}" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "acme.my.salesforce.com" && asked[0].path == "/services/oauth2/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-SALESFORCE_SECRET&grant_type=client_credentials" }
  assert { condition = sent[0].header["Authorization"] == "Bearer 00D1" && sent[0].host == "acme.my.salesforce.com" }
}

test "an answer that names somebody else's host is not believed" {
  request {
    url     = "https://acme.my.salesforce.com/services/data/v65.0/limits"
    account = "acme"
  }
  token { body = "{\"access_token\":\"00D1\",\"instance_url\":\"https://evil.example\",\"token_type\":\"Bearer\"}" }
  expect { code = "credential_unavailable" }
  assert { condition = length(sent) == 0 }
}

test "a name cannot lead the secret to another host" {
  request {
    url     = "https://acme.my.salesforce.com/services/data/v65.0/limits"
    account = "evil.example/"
  }
  expect { code = "credential_unavailable" }
  assert { condition = length(asked) == 0 && length(sent) == 0 }
}

test "a day that is spent is a 403, and not waited for" {
  request {
    url     = "https://acme.my.salesforce.com/services/data/v60.0/limits"
    account = "acme"
  }
  token { body = "{\"access_token\":\"00D1\",\"instance_url\":\"https://acme.my.salesforce.com\",\"token_type\":\"Bearer\"}" }
  upstream {
    status = 403
    body   = "[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\",\"message\":\"TotalRequests Limit exceeded.\"}]"
  }
  expect {
    status   = 403
    attempts = 1
    outcome  = "quota_exhausted"
  }
}

test "a lock is waited for" {
  request {
    method  = "POST"
    account = "acme"
    url     = "https://acme.my.salesforce.com/services/data/v60.0/sobjects/Contact/1"
  }
  token { body = "{\"access_token\":\"00D1\",\"instance_url\":\"https://acme.my.salesforce.com\",\"token_type\":\"Bearer\"}" }
  upstream {
    status = 400
    body   = "[{\"errorCode\":\"UNABLE_TO_LOCK_ROW\",\"message\":\"unable to obtain exclusive access\"}]"
  }
  upstream {
    status = 201
  }
  expect {
    status   = 201
    attempts = 2
  }
}
