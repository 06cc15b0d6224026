test "the account's own token is asked for as Zoom wants it" {
  request {
    url     = "https://api.zoom.us/v2/users"
    account = "Wk9PTV9BQ0NPVU5U"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "zoom.us" && asked[0].path == "/oauth/token" && asked[0].body == "account_id=Wk9PTV9BQ0NPVU5U&grant_type=account_credentials" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-ZOOM_SECRET")}" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "api.zoom.us" }
}

test "an expired token (124) is replaced" {
  request {
    url     = "https://api.zoom.us/v2/users"
    account = "Wk9PTV9BQ0NPVU5U"
  }
  upstream {
    status = 401
    body   = "{\"code\":124,\"message\":\"Access token is expired.\"}"
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = length(asked) == 2 }
}
