test "an expired token is renewed, and goes to the API that was called" {
  connection "google" { expired = true }
  token { body = "{\"access_token\":\"ya29.2\",\"expires_in\":3599,\"scope\":\"https://www.googleapis.com/auth/calendar.readonly\",\"token_type\":\"Bearer\"}" }
  request { url = "https://www.googleapis.com/calendar/v3/calendars/primary/events" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "oauth2.googleapis.com" && asked[0].path == "/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-GOOGLE_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer ya29.2" && sent[0].host == "www.googleapis.com" }
}

test "a host of Google's that nobody named does not get it" {
  connection "google" {}
  request { url = "https://acme.storage.googleapis.com/object" }
  expect {
    status = 403
    code   = "no_provider"
  }
}

test "a grant that was withdrawn needs a new one" {
  connection "google" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}"
  }
  request { url = "https://gmail.googleapis.com/gmail/v1/users/me/messages" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
