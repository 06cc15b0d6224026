# Standard Webhooks, which many providers sign by. Facts were checked on 2026-11-29.

webhook "standard" {
  # github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, 2026-11.
  # An id with a dot in it is refused, because a dot ends it in what is signed. v1a,
  # which is asymmetric, is another kind.
  verify "hmac" {
    header          = "Webhook-Signature"
    separator       = " "
    assign          = ","
    field           = "v1"
    encoding        = "base64"
    timestamp       = "Webhook-Timestamp"
    message         = "${header["webhook-id"]}.${timestamp}.${raw_body}"
    secret_encoding = "base64"
    secret_prefix   = "whsec_"
    id              = "Webhook-Id"
  }
  # The event's type and time stand in the body, by the same document.
  event {
    type = body.type
    time = body.timestamp
    unit = "rfc3339"
  }
}
