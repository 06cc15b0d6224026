test "an expired token is renewed by Basic, and a POST has one id for all attempts" {
  connection "quickbooks" { expired = true }
  token { body = "{\"access_token\":\"eyJ2\",\"refresh_token\":\"AB2\",\"token_type\":\"bearer\",\"expires_in\":3600,\"x_refresh_token_expires_in\":8726400}" }
  request {
    method = "POST"
    url    = "https://quickbooks.api.intuit.com/v3/company/1/invoice?minorversion=75"
  }
  upstream { status = 503 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = asked[0].host == "oauth.platform.intuit.com" && asked[0].path == "/oauth2/v1/tokens/bearer" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-QUICKBOOKS_SECRET")}" && asked[0].body == "grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer eyJ2" && startswith(sent[0].query, "minorversion=75&requestid=") && sent[0].query == sent[1].query }
}

test "a refresh token that was used before is the end of the grant" {
  connection "quickbooks" { expired = true }
  token {
    status = 400
    body   = "{\"error_description\":\"Incorrect Token type or clientID\",\"error\":\"invalid_grant\"}"
  }
  request { url = "https://quickbooks.api.intuit.com/v3/company/1/companyinfo/1" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
