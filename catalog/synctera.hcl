# Synctera. Facts were checked on 2026-11-29.

webhook "synctera" {
  # While a secret is rotated there are two signatures, with a dot between
  # (dev.synctera.com/docs/webhooks-guide); not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Synctera-Signature"
    separator = "."
    timestamp = "Request-Timestamp"
    message   = "${timestamp}.${raw_body}"
  }
  event {
    id   = body.id
    type = body.type
    time = body.event_time
    unit = "rfc3339"
  }
}
