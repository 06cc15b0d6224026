test "an expired token is renewed, with the secret in the body" {
  connection "microsoft_graph" { expired = true }
  request { url = "https://graph.microsoft.com/v1.0/me/messages" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "login.microsoftonline.com" && asked[0].path == "/common/oauth2/v2.0/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-MICROSOFT_GRAPH_SECRET&grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "graph.microsoft.com" }
}

test "a person has to sign in again" {
  connection "microsoft_graph" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"interaction_required\",\"error_description\":\"AADSTS50076: Due to a configuration change made by your administrator, you must use multi-factor authentication.\"}"
  }
  request { url = "https://graph.microsoft.com/v1.0/me" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}

test "Retry-After is kept exactly" {
  connection "microsoft_graph" {}
  request { url = "https://graph.microsoft.com/v1.0/me/messages" }
  upstream {
    status = 429
    header = { "Retry-After" = "17" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 17 }
}
