test "an expired token is renewed by Basic and JSON" {
  connection "notion" { expired = true }
  request { url = "https://api.notion.com/v1/users" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "api.notion.com" && asked[0].path == "/v1/oauth/token" && asked[0].header["Notion-Version"] == "2025-09-03" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-NOTION_SECRET")}" && asked[0].header["Content-Type"] == "application/json" }
  assert { condition = asked[0].body == "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"refresh-token-of-\"}" }
  assert { condition = sent[0].header["Authorization"] == "Bearer granted-token" && sent[0].header["Notion-Version"] == "2025-09-03" }
}

test "an integration that was removed needs a new connection" {
  connection "notion" { expired = true }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"request_id\":\"r-1\"}"
  }
  request { url = "https://api.notion.com/v1/users" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
