# Dwolla. Facts were checked on 2026-11-29.

webhook "dwolla" {
  # developers.dwolla.com/docs/working-with-webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Request-Signature-SHA-256"
  }
  event {
    id      = body.id
    type    = body.topic
    account = body.accountId
    time    = body.timestamp
    unit    = "rfc3339"
    key     = body.resourceId
  }
}
