test "a call carries the person's token" {
  connection "github" {}
  request { url = "https://api.github.com/user" }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer token-of-" && sent[0].header["X-Github-Api-Version"] == "2022-11-28" && sent[0].host == "api.github.com" }
}

test "an expired token is renewed at github.com, which is asked for JSON" {
  connection "github" { expired = true }
  token {
    body   = "access_token=ghu_new&expires_in=28800&refresh_token=ghr_new&scope=&token_type=bearer"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
  }
  request { url = "https://api.github.com/user" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "github.com" && asked[0].path == "/login/oauth/access_token" && asked[0].header["Accept"] == "application/json" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-GITHUB_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert {
    condition = sent[0].header["Authorization"] == "Bearer ghu_new"
    error     = "an answer that is a form all the same is read"
  }
}

test "a 200 that says bad_refresh_token is the end of the grant" {
  connection "github" { expired = true }
  token { body = "{\"error\":\"bad_refresh_token\",\"error_description\":\"The refresh token passed is incorrect or expired.\"}" }
  request { url = "https://api.github.com/user" }
  expect {
    status = 424
    code   = "needs_connection"
  }
  assert { condition = length(sent) == 0 }
}
