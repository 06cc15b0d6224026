# LINE. Facts were checked on 2026-11-29.

webhook "line" {
  # The key is the channel secret (developers.line.biz/en/docs/messaging-api/verify-webhook-signature,
  # whose vector it passes; not looked up, 2026-11-29).
  verify "hmac" {
    header   = "X-Line-Signature"
    encoding = "base64"
  }
  event {
    id      = body.events[0].webhookEventId
    type    = body.events[0].type
    account = body.destination
    time    = body.events[0].timestamp
    unit    = "ms"
    key     = body.events[0].source.userId
  }
}
