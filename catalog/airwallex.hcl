# Airwallex. Facts were checked on 2026-11-29.

webhook "airwallex" {
  # airwallex.com/docs/developer-tools/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Signature"
    timestamp = "X-Timestamp"
    unit      = "ms"
    message   = "${timestamp}${raw_body}"
  }
  event {
    id      = body.id
    type    = body.name
    account = body.account_id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.sourceId
  }
}
