# Box. Facts were checked on 2026-11-29.

webhook "box" {
  headers = ["Box-Delivery-Id"]
  # github.com/box/box-node-sdk, lib/webhooks, whose vector it passes; the document
  # (developer.box.com/guides/ webhooks/v2/signatures-v2) was not looked up, 2026-11-29. Either key may
  # match.
  verify "hmac" {
    headers   = ["Box-Signature-Primary", "Box-Signature-Secondary"]
    encoding  = "base64"
    timestamp = "Box-Delivery-Timestamp"
    unit      = "rfc3339"
    tolerance = "10m"
    message   = "${raw_body}${timestamp}"
  }
  # The id in the header is another when Box sends an event again, the one in the body is not
  # (developer.box.com/guides/webhooks/v2, looked up 2026-11-30).
  event {
    id      = body.id
    type    = body.trigger
    account = body.webhook.id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.source.id
  }
}
