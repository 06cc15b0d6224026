# Calendly. Facts were checked on 2026-11-29.

webhook "calendly" {
  # developer.calendly.com/api-docs/webhook-signatures; not looked up, 2026-11-29.
  verify "hmac" {
    header          = "Calendly-Webhook-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    tolerance       = "3m"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    type    = body.event
    account = body.created_by
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.payload.uri
  }
}
