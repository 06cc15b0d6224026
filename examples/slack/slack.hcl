# Slack: its Web API, and the Events API.

provider "slack" {
  catalog = "slack"
  credential "bearer" { token = env("SLACK_BOT_TOKEN") }

  # About one message a second may be posted to a channel
  # (docs.slack.dev/apis/web-api/rate-limits): wait for our turn instead of
  # being refused.
  route "POST /api/chat.postMessage" {
    limit "posting" {
      rate  = "1/s"
      burst = 3
      by    = request.body.channel
      wait  = "10s"
    }
  }
}

webhook "slack" {
  catalog = "slack"
  path    = "/slack"

  # Slack's challenge, when the address is entered in its settings, is answered.
  verify "slack" {
    secrets = [env("SLACK_SIGNING_SECRET")]
  }
  deliver {
    to = "http://127.0.0.1:3000/webhooks/slack"
  }
}
