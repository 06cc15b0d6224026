test "a call carries the workspace's bot token" {
  connection "slack" { account = "T1" }
  request {
    method  = "POST"
    url     = "https://slack.com/api/chat.postMessage"
    account = "T1"
  }
  upstream { body = "{\"ok\":true}" }
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer token-of-T1" && sent[0].host == "slack.com" }
}

test "a 200 that says token_expired has the token renewed, and the message posted with the new one" {
  connection "slack" {}
  token { body = "{\"ok\":true,\"access_token\":\"xoxe.xoxb-2\",\"refresh_token\":\"xoxe-2\",\"expires_in\":43200,\"token_type\":\"bot\"}" }
  request {
    method = "POST"
    url    = "https://slack.com/api/chat.postMessage"
    body   = "{\"channel\":\"C1\",\"text\":\"hello\"}"
    header = { "Content-Type" = "application/json" }
  }
  upstream { body = "{\"ok\":false,\"error\":\"token_expired\"}" }
  upstream { body = "{\"ok\":true}" }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
  }
  assert { condition = length(asked) == 1 && asked[0].host == "slack.com" && asked[0].path == "/api/oauth.v2.access" }
  assert { condition = asked[0].header["Authorization"] == "Basic ${base64encode("client-1:stand-in-for-env-SLACK_SECRET")}" && asked[0].body == "grant_type=refresh_token&refresh_token=refresh-token-of-" }
  assert { condition = sent[1].header["Authorization"] == "Bearer xoxe.xoxb-2" && sent[0].body == sent[1].body }
}

test "a 200 that says invalid_refresh_token is the end of the grant" {
  connection "slack" { expired = true }
  token { body = "{\"ok\":false,\"error\":\"invalid_refresh_token\"}" }
  request { url = "https://slack.com/api/auth.test" }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
