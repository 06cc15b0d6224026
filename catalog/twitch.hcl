# Twitch EventSub. Facts were checked on 2026-11-29.

webhook "twitch" {
  headers = ["Twitch-Eventsub-Message-Type", "Twitch-Eventsub-Message-Retry"]
  # dev.twitch.tv/docs/eventsub/handling-webhook-events, read 2026-11-29.
  verify "hmac" {
    header    = "Twitch-Eventsub-Message-Signature"
    prefix    = "sha256="
    timestamp = "Twitch-Eventsub-Message-Timestamp"
    unit      = "rfc3339"
    tolerance = "10m"
    message   = "${header["Twitch-Eventsub-Message-Id"]}${timestamp}${raw_body}"
    id        = "Twitch-Eventsub-Message-Id"
    handshake "callback_verification" {
      when = header["Twitch-Eventsub-Message-Type"] == "webhook_callback_verification" && body.challenge != null
      body = body.challenge
    }
  }
  event {
    type    = body.subscription.type
    account = body.subscription.id
  }
}
