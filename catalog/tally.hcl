# Tally. Facts were checked on 2026-11-29.

webhook "tally" {
  # tally.so/help/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header   = "Tally-Signature"
    encoding = "base64"
  }
  event {
    id      = body.eventId
    type    = body.eventType
    account = body.data.formId
    time    = body.createdAt
    unit    = "rfc3339"
    key     = body.data.responseId
  }
}
