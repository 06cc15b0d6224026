test "an expired token is renewed with all in the body, at the endpoint that stays" {
  connection "hubspot" { expired = true }
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "api.hubapi.com" && asked[0].path == "/oauth/2026-03/token" && asked[0].query == "" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-HUBSPOT_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "api.hubapi.com" }
}

test "a 401 has the token renewed once, and is believed after that" {
  connection "hubspot" {}
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  upstream {
    status = 401
    body   = "{\"status\":\"error\",\"category\":\"INVALID_AUTHENTICATION\"}"
  }
  expect {
    status   = 401
    attempts = 2
    outcome  = "auth"
  }
  assert { condition = length(asked) == 1 }
}

test "BAD_REFRESH_TOKEN is the end of the grant" {
  connection "hubspot" { expired = true }
  token {
    status = 400
    body   = "{\"status\":\"BAD_REFRESH_TOKEN\",\"message\":\"missing or invalid refresh token\",\"correlationId\":\"c-1\"}"
  }
  request { url = "https://api.hubapi.com/crm/v3/objects/contacts" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
