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
  # The id is not signed.
  event {
    id      = header["Box-Delivery-Id"]
    type    = body.trigger
    account = body.webhook.id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.source.id
  }
}
