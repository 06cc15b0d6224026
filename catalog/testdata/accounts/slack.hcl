provider "slack" {
  catalog = "slack"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("SLACK_SECRET")]
    scopes        = ["chat:write", "channels:read"]
  }
}
