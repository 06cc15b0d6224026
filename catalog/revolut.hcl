# Revolut Business. Facts were checked on 2026-11-29.

webhook "revolut" {
  # developer.revolut.com/docs/guides/manage-accounts/webhooks/verify-the-payload-signature; not looked
  # up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Revolut-Signature"
    separator = ","
    prefix    = "v1="
    timestamp = "Revolut-Request-Timestamp"
    unit      = "ms"
    message   = "v1.${timestamp}.${raw_body}"
  }
  event {
    type = body.event
    time = body.timestamp
    unit = "rfc3339"
    key  = body.data.id
  }
}
