# Sanity. Facts were checked on 2026-11-29.

webhook "sanity" {
  headers = ["Idempotency-Key", "Sanity-Transaction-Id", "Sanity-Document-Id"]
  # github.com/sanity-io/webhook-toolkit; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "Sanity-Webhook-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    unit            = "ms"
    encoding        = "base64url"
    message         = "${timestamp}.${raw_body}"
  }
  # The id is not signed.
  event {
    id   = header["Idempotency-Key"]
    type = body._type
    key  = body._id
  }
}
