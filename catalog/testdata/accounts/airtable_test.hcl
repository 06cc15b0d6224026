test "an expired token is renewed by Basic" {
  connection "airtable" { expired = true }
  request { url = "https://api.airtable.com/v0/app1/Table" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "airtable.com" && asked[0].path == "/oauth2/v1/token" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-AIRTABLE_SECRET")}" && asked[0].body == "grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "api.airtable.com" }
}

test "a refresh token that was used before is the end of the grant" {
  connection "airtable" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"The refresh token is invalid or has expired.\"}"
  }
  request { url = "https://api.airtable.com/v0/app1/Table" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
