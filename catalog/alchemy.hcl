# Alchemy. Facts were checked on 2026-11-29.

webhook "alchemy" {
  # alchemy.com/docs/reference/notify-api-quickstart; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Alchemy-Signature"
  }
  event {
    id      = body.id
    type    = body.type
    account = body.webhookId
    time    = body.createdAt
    unit    = "rfc3339"
  }
}
