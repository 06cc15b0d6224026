test "an expired token is renewed in JSON" {
  connection "atlassian" { expired = true }
  request { url = "https://api.atlassian.com/ex/jira/c-1/rest/api/3/issue/KEY-1" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "auth.atlassian.com" && asked[0].path == "/oauth/token" && asked[0].header["Content-Type"] == "application/json" }
  assert { condition = asked[0].body == "{\"client_id\":\"client-1\",\"client_secret\":\"stand-in-for-env-ATLASSIAN_SECRET\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"refresh-token-of-\"}" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "api.atlassian.com" }
}

test "a 403 that says that the refresh token is invalid is the end of the grant" {
  connection "atlassian" { expired = true }
  token {
    status = 403
    body   = "{\"error\":\"unauthorized_client\",\"error_description\":\"refresh_token is invalid\"}"
  }
  request { url = "https://api.atlassian.com/ex/jira/c-1/rest/api/3/myself" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}

test "a wrong secret is nobody's grant lost" {
  connection "atlassian" { expired = true }
  token {
    status = 401
    body   = "{\"error\":\"access_denied\",\"error_description\":\"Unauthorized\"}"
  }
  request { url = "https://api.atlassian.com/ex/jira/c-1/rest/api/3/myself" }
  expect {
    status = 503
    code   = "credential_unavailable"
  }
}
