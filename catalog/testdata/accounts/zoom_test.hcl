test "an expired token is renewed by Basic" {
  connection "zoom" { expired = true }
  request { url = "https://api.zoom.us/v2/users/me" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "zoom.us" && asked[0].path == "/oauth/token" && asked[0].query == "" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-ZOOM_SECRET")}" && asked[0].body == "grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "api.zoom.us" }
}

test "an invalid_request with Invalid Token! is the end of the grant" {
  connection "zoom" { expired = true }
  token {
    status = 400
    body   = "{\"reason\":\"Invalid Token!\",\"error\":\"invalid_request\"}"
  }
  request { url = "https://api.zoom.us/v2/users/me" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
