# Zendesk. Facts were checked on 2026-11-29.

webhook "zendesk" {
  headers = ["X-Zendesk-Webhook-Invocation-Id"]
  # developer.zendesk.com/documentation/webhooks/verifying; not looked up, 2026-11-29.
  verify "hmac" {
    header    = "X-Zendesk-Webhook-Signature"
    encoding  = "base64"
    timestamp = "X-Zendesk-Webhook-Signature-Timestamp"
    unit      = "rfc3339"
    message   = "${timestamp}${raw_body}"
  }
  event {
    id      = body.id
    type    = body.type
    account = body.account_id
    time    = body.time
    unit    = "rfc3339"
    key     = body.subject
  }
}
