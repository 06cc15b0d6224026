# Lemon Squeezy. Facts were checked on 2026-11-29.

webhook "lemonsqueezy" {
  headers = ["X-Event-Name"]
  # docs.lemonsqueezy.com/help/webhooks/signing-requests; not looked up, 2026-11-29.
  verify "hmac" {
    header = "X-Signature"
  }
  event {
    type    = body.meta.event_name
    account = body.data.attributes.store_id
    time    = body.data.attributes.updated_at
    unit    = "rfc3339"
    key     = body.data.id
  }
}
