test "an expired token is renewed in JSON, at the pinned version" {
  connection "square" { expired = true }
  token { body = "{\"access_token\":\"EAAA2\",\"token_type\":\"bearer\",\"expires_at\":\"2000-01-31T00:00:00Z\",\"merchant_id\":\"M1\",\"refresh_token\":\"EQAA\"}" }
  request { url = "https://connect.squareup.com/v2/locations" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "connect.squareup.com" && asked[0].path == "/oauth2/token" && asked[0].header["Square-Version"] == "2026-09-16" }
  assert { condition = asked[0].body == "{\"client_id\":\"client-1\",\"client_secret\":\"stand-in-for-env-SQUARE_SECRET\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"refresh-token-of-\"}" }
  assert { condition = sent[0].header["Authorization"] == "Bearer EAAA2" && sent[0].header["Square-Version"] == "2026-09-16" }
}

test "a seller who has disconnected the application has to connect again" {
  connection "square" { expired = true }
  token {
    status = 401
    body   = "{\"message\":\"Invalid refresh token\",\"type\":\"service.not_authorized\"}"
  }
  request { url = "https://connect.squareup.com/v2/locations" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
