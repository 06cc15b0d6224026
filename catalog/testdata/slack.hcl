provider "slack" {
  catalog = "slack"
  credential "bearer" { token = env("SLACK_BOT_TOKEN") }
}
