test "a service account asks for a token on behalf of the account" {
  request {
    url     = "https://www.googleapis.com/drive/v3/files"
    account = "ann@example.com"
  }
  token { body = "{\"access_token\":\"ya29.1\",\"expires_in\":3599,\"token_type\":\"Bearer\"}" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "oauth2.googleapis.com" && asked[0].path == "/token" && asked[0].header["Authorization"] == null }
  assert { condition = startswith(asked[0].body, "assertion=ey") && endswith(asked[0].body, "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdrive.readonly") }
  assert { condition = jsondecode(base64decode("${split(".", asked[0].body)[1]}=")).sub == "ann@example.com" }
  assert { condition = jsondecode(base64decode("${split(".", asked[0].body)[1]}=")).aud == "https://oauth2.googleapis.com/token" }
  assert { condition = jsondecode(base64decode("${split(".", asked[0].body)[1]}=")).scope == "https://www.googleapis.com/auth/drive.readonly" }
  assert { condition = sent[0].header["Authorization"] == "Bearer ya29.1" && sent[0].host == "www.googleapis.com" }
}

test "a library that asks by itself gets a token that opens nothing" {
  request {
    method  = "POST"
    url     = "https://oauth2.googleapis.com/token"
    body    = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=e30.e30.x"
    header  = { "Content-Type" = "application/x-www-form-urlencoded" }
    account = "ann@example.com"
  }
  expect {
    status = 200
    source = "postern"
  }
  assert { condition = response.body.access_token == "postern-stub-token" && length(sent) == 0 }
}

test "a service account that may not act for the user is said, and nothing is sent" {
  request {
    url     = "https://www.googleapis.com/drive/v3/files"
    account = "ann@example.com"
  }
  token {
    status = 401
    body   = "{\"error\":\"unauthorized_client\",\"error_description\":\"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.\"}"
  }
  expect {
    status = 503
    code   = "credential_unavailable"
  }
  assert { condition = length(sent) == 0 && can(regex("unauthorized_client", problem.detail)) }
}
