# LINE. Facts were checked on 2026-11-29.

webhook "line" {
  # The key is the channel secret (developers.line.biz/en/docs/messaging-api/verify-webhook-signature,
  # whose vector it passes; not looked up, 2026-11-29).
  verify "hmac" {
    header   = "X-Line-Signature"
    encoding = "base64"
  }
  # A request brings several events, or none when the address is tried. A redelivered one has
  # deliveryContext.isRedelivery = true (line.github.io/line-bot-sdk-nodejs, webhook.DeliveryContext,
  # read 2026-11-30).
  event {
    split   = body.events
    id      = item.webhookEventId
    type    = item.type
    account = body.destination
    time    = item.timestamp
    unit    = "ms"
    key     = item.source.userId
    varies  = [item.deliveryContext.isRedelivery]
  }
}
