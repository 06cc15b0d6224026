# Polar, which signs by Standard Webhooks. Facts were checked on 2026-11-29.

webhook "polar" {
  # The secret is encoded in Base64 before libraries decode it again: the key is its own bytes
  # (polar.sh/docs/integrate/webhooks/delivery; not looked up, 2026-11-29).
  verify "hmac" {
    header    = "Webhook-Signature"
    separator = " "
    assign    = ","
    field     = "v1"
    encoding  = "base64"
    timestamp = "Webhook-Timestamp"
    message   = "${header["webhook-id"]}.${timestamp}.${raw_body}"
    id        = "Webhook-Id"
  }
  event {
    type = body.type
    time = body.timestamp
    unit = "rfc3339"
    key  = body.data.id
  }
}
