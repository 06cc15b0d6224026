test "the account is the tenant, and .default is asked for" {
  request {
    url     = "https://graph.microsoft.com/v1.0/users"
    account = "contoso.onmicrosoft.com"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "login.microsoftonline.com" && asked[0].path == "/contoso.onmicrosoft.com/oauth2/v2.0/token" }
  assert { condition = asked[0].body == "client_id=client-1&client_secret=stand-in-for-env-GRAPH_SECRET&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].host == "graph.microsoft.com" }
}

test "a library that asks by itself gets a token that opens nothing" {
  request {
    method  = "POST"
    url     = "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    body    = "client_id=x&client_secret=x&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
    header  = { "Content-Type" = "application/x-www-form-urlencoded" }
    account = "contoso.onmicrosoft.com"
  }
  expect {
    status = 200
    source = "postern"
  }
  assert { condition = response.body.access_token == "postern-stub-token" && length(sent) == 0 && length(asked) == 1 }
}

test "a name cannot lead the secret out of the path" {
  request {
    url     = "https://graph.microsoft.com/v1.0/users"
    account = "../x?y="
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "login.microsoftonline.com" && asked[0].path == "/..%2Fx%3Fy%3D/oauth2/v2.0/token" }
}

test "a secret that has expired is said, and nothing is sent" {
  request {
    url     = "https://graph.microsoft.com/v1.0/users"
    account = "contoso.onmicrosoft.com"
  }
  token {
    status = 401
    body   = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000222: The provided client secret keys for app 'client-1' are expired.\"}"
  }
  expect {
    status = 503
    code   = "credential_unavailable"
  }
  assert { condition = length(sent) == 0 && can(regex("AADSTS7000222", problem.detail)) }
}
