test "a call carries a token of the service account" {
  request { url = "https://www.googleapis.com/drive/v3/files" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "oauth2.googleapis.com" && startswith(asked[0].body, "assertion=") }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" }
}

# google-auth-library asks for a token by itself, with whatever key it was given.
test "a library gets a token that opens nothing" {
  request {
    method = "POST"
    url    = "https://oauth2.googleapis.com/token"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=e30.e30.x"
  }
  expect {
    status = 200
    source = "postern"
  }
  assert { condition = response.body.access_token == "postern-stub-token" && length(sent) == 0 }
}

test "a token that Google refuses is replaced, once" {
  request { url = "https://www.googleapis.com/drive/v3/files" }
  upstream { status = 401 }
  upstream { status = 200 }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = length(asked) == 2 }
}

test "while Google gives no token, nothing is sent" {
  request { url = "https://www.googleapis.com/drive/v3/files" }
  token { status = 503 }
  expect {
    status   = 503
    code     = "credential_unavailable"
    executed = "no"
  }
  assert { condition = length(sent) == 0 }
}

test "a file cannot be deleted from here" {
  request {
    method = "DELETE"
    url    = "https://www.googleapis.com/drive/v3/files/1"
  }
  expect {
    status = 403
    code   = "not_allowed"
  }
}
