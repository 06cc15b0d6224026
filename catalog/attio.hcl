# Attio. Facts were checked on 2026-11-29.

webhook "attio" {
  headers = ["Idempotency-Key"]
  # docs.attio.com/rest-api/guides/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "Attio-Signature"
  }
  # An event says neither which nor when. The key is that of a message, the same when it is sent again
  # (docs.attio.com/rest-api/how-to/webhooks, looked up 2026-11-30), and not signed.
  event {
    split   = body.events
    id      = "${header["Idempotency-Key"]} ${sha256(jsonencode(item))}"
    type    = item.event_type
    account = body.webhook_id
  }
}
