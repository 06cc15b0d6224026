test "a call goes to the host that the account's token named, and to no other org" {
  connection "salesforce" {
    account = "acme"
    answer  = { instance_url = "https://acme.my.salesforce.com" }
  }
  request {
    url     = "https://acme.my.salesforce.com/services/data/v65.0/limits"
    account = "acme"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer token-of-acme" && sent[0].host == "acme.my.salesforce.com" }
}

test "another org's host does not get it" {
  connection "salesforce" {
    account = "acme"
    answer  = { instance_url = "https://acme.my.salesforce.com" }
  }
  request {
    url     = "https://evil.my.salesforce.com/services/data/v65.0/limits"
    account = "acme"
  }
  expect {
    status = 421
    code   = "host_mismatch"
  }
}

test "a session that has ended is renewed: Salesforce never says when it will" {
  connection "salesforce" { answer = { instance_url = "https://acme.my.salesforce.com" } }
  token { body = "{\"access_token\":\"00D2\",\"instance_url\":\"https://acme.my.salesforce.com\",\"token_type\":\"Bearer\",\"issued_at\":\"1700000000000\"}" }
  request { url = "https://acme.my.salesforce.com/services/data/v65.0/query?q=SELECT+Id+FROM+Account" }
  upstream {
    status = 401
    body   = "[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = asked[0].host == "login.salesforce.com" && asked[0].path == "/services/oauth2/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-SALESFORCE_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[1].header["Authorization"] == "Bearer 00D2" }
}

test "a grant that was withdrawn needs a new one" {
  connection "salesforce" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"expired access/refresh token\"}"
  }
  request { url = "https://acme.my.salesforce.com/services/data" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}

test "the org's spent calls are a quota, not a missing permission" {
  connection "salesforce" { answer = { instance_url = "https://acme.my.salesforce.com" } }
  request { url = "https://acme.my.salesforce.com/services/data" }
  upstream {
    status = 403
    body   = "[{\"message\":\"TotalRequests Limit exceeded.\",\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\"}]"
  }
  expect {
    status  = 403
    outcome = "quota_exhausted"
  }
}

test "when the calls of a day are used up nothing more goes out" {
  connection "salesforce" {
    account = "acme"
    answer  = { instance_url = "https://acme.my.salesforce.com" }
  }
  request {
    url     = "https://acme.my.salesforce.com/services/data/v65.0/limits"
    account = "acme"
  }
  upstream {
    status = 503
    header = { "Sforce-Limit-Info" = "api-usage=5000/5000; per-app-api-usage=17/250(appName=app)" }
  }
  upstream {}
  expect {
    status   = 503
    attempts = 1
  }
}
