# Checkout.com. Facts were checked on 2026-11-29.

webhook "checkout" {
  # checkout.com/docs/developer-resources/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "Cko-Signature"
  }
  event {
    id   = body.id
    type = body.type
    time = body.created_on
    unit = "rfc3339"
    key  = body.data.id
  }
}
