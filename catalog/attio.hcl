# Attio. Facts were checked on 2026-11-29.

webhook "attio" {
  # docs.attio.com/rest-api/guides/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "Attio-Signature"
  }
  event {
    split   = body.events
    type    = item.event_type
    account = body.webhook_id
  }
}
