test "a custom connection's token is asked for by Basic" {
  request { url = "https://api.xero.com/api.xro/2.0/Invoices" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "identity.xero.com" && asked[0].path == "/connect/token" && asked[0].body == "grant_type=client_credentials&scope=accounting.transactions.read" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-XERO_SECRET")}" && sent[0].header["Authorization"] == "Bearer granted-token" }
}

test "the library's own question is answered here" {
  request {
    method = "POST"
    url    = "https://identity.xero.com/connect/token"
    body   = "grant_type=client_credentials"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
  }
  expect {
    status = 200
    source = "postern"
  }
  assert { condition = response.body.access_token == "postern-stub-token" && length(sent) == 0 }
}

test "the day's calls are a quota" {
  request { url = "https://api.xero.com/api.xro/2.0/Invoices" }
  upstream {
    status = 429
    header = { "X-Rate-Limit-Problem" = "day", "Retry-After" = "3600" }
  }
  expect {
    status   = 429
    attempts = 1
    outcome  = "quota_exhausted"
  }
}
