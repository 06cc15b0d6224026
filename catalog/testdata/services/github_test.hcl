test "a call carries the token of the account's installation, narrowed to what the policy says" {
  request {
    url     = "https://api.github.com/repos/o/r/contents/README.md"
    account = "678"
  }
  token {
    status = 201
    body   = "{\"token\":\"ghs_1\",\"expires_at\":\"2000-01-01T01:00:00Z\",\"permissions\":{\"contents\":\"read\"}}"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].method == "POST" && asked[0].host == "api.github.com" && asked[0].path == "/app/installations/678/access_tokens" && asked[0].body == "{\"permissions\":{\"contents\":\"read\"}}" }
  assert {
    condition = base64decode("${split(".", asked[0].header["Authorization"])[1]}=") == "{\"exp\":946685340,\"iat\":946684740,\"iss\":\"12345\"}"
    error     = "the App says who it is, from a minute ago and for less than ten"
  }
  assert { condition = sent[0].header["Authorization"] == "Bearer ghs_1" && sent[0].header["X-Github-Api-Version"] == "2022-11-28" }
}

test "an App that is not installed there is said, and nothing is sent" {
  request {
    url     = "https://api.github.com/repos/o/r"
    account = "678"
  }
  token {
    status = 404
    body   = "{\"message\":\"Integration not found\",\"status\":\"404\"}"
  }
  expect {
    status = 503
    code   = "credential_unavailable"
  }
  assert { condition = length(sent) == 0 }
}

test "an account that is no number asks nobody" {
  request {
    url     = "https://api.github.com/repos/o/r"
    account = "678/access_tokens?x="
  }
  expect {
    status = 503
    code   = "credential_unavailable"
  }
  assert { condition = length(asked) == 0 && length(sent) == 0 }
}
