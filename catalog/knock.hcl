# Knock. Facts were checked on 2026-11-29.

webhook "knock" {
  # docs.knock.app/developer-tools/outbound-webhooks/overview; not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header          = "X-Knock-Signature"
    separator       = ","
    field           = "s"
    timestamp_field = "t"
    unit            = "ms"
    encoding        = "base64"
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
