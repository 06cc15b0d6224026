test "a call carries the token as Bearer" {
  connection "linear" {}
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  upstream { body = "{\"data\":{}}" }
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer token-of-" && sent[0].host == "api.linear.app" }
}

test "what says AUTHENTICATION_ERROR has the token renewed" {
  connection "linear" {}
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  upstream {
    status = 400
    body   = "{\"errors\":[{\"message\":\"Authentication required\",\"extensions\":{\"code\":\"AUTHENTICATION_ERROR\"}}]}"
  }
  upstream { body = "{\"data\":{}}" }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = asked[0].host == "api.linear.app" && asked[0].path == "/oauth/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-LINEAR_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
}

test "a grant that was revoked needs a new one" {
  connection "linear" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid refresh token\"}"
  }
  request {
    method = "POST"
    url    = "https://api.linear.app/graphql"
  }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
