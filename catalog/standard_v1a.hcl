# The asymmetric half of Standard Webhooks. Facts were checked on 2026-11-29.

webhook "standard_v1a" {
  # github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, 2026-11.
  # keys begin with whpk_. An id with a dot in it is refused, because a dot ends it in
  # what is signed.
  verify "ed25519" {
    header    = "Webhook-Signature"
    separator = " "
    prefix    = "v1a,"
    timestamp = "Webhook-Timestamp"
    message   = "${header["webhook-id"]}.${timestamp}.${raw_body}"
    id        = "Webhook-Id"
  }
  event {
    type = body.type
    time = body.timestamp
    unit = "rfc3339"
  }
}
