# Courier. Facts were checked on 2026-11-29.

webhook "courier" {
  # courier.com/docs/platform/workspaces/outbound-webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "Courier-Signature"
    separator       = ","
    field           = "signature"
    timestamp_field = "t"
    unit            = "ms"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    type = body.type
    key  = body.data.id
  }
}
