test "an expired token is renewed by Basic, and the tenant is the application's to name" {
  connection "xero" { expired = true }
  request {
    method = "POST"
    url    = "https://api.xero.com/api.xro/2.0/Invoices"
    header = { "Xero-Tenant-Id" = "t-1" }
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "identity.xero.com" && asked[0].path == "/connect/token" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-XERO_SECRET")}" && asked[0].body == "grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].header["Xero-Tenant-Id"] == "t-1" && sent[0].header["Idempotency-Key"] != null }
}

test "sixty days without use are the end of the grant" {
  connection "xero" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\"}"
  }
  request { url = "https://api.xero.com/connections" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}

test "the calls of a minute come back one a second" {
  connection "xero" {}
  request {
    url    = "https://api.xero.com/api.xro/2.0/Invoices"
    header = { "Xero-Tenant-Id" = "t-1" }
  }
  upstream {
    status = 503
    header = { "X-MinLimit-Remaining" = "0", "X-DayLimit-Remaining" = "4000" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 1 && waited < 3 }
}
