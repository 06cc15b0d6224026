# Daily. Facts were checked on 2026-11-29.

webhook "daily" {
  # The unit of the timestamp is not verified (docs.daily.co/reference/rest-api/webhooks); not looked up
  # at the provider, 2026-11-29.
  verify "hmac" {
    header          = "X-Webhook-Signature"
    encoding        = "base64"
    timestamp       = "X-Webhook-Timestamp"
    message         = "${timestamp}.${raw_body}"
    secret_encoding = "base64"
  }
  event {
    id   = body.id
    type = body.type
    time = body.event_ts
    key  = body.payload.room
  }
}
