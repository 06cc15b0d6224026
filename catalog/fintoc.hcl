# Fintoc. Facts were checked on 2026-11-29.

webhook "fintoc" {
  # docs.fintoc.com/docs/webhooks-validation; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "Fintoc-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    id   = body.id
    type = body.type
    time = body.created_at
    unit = "rfc3339"
    key  = body.data.id
  }
}
