# Coinbase Commerce. Facts were checked on 2026-11-29.

webhook "coinbase_commerce" {
  # docs.cdp.coinbase.com/commerce/docs/webhooks-security; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-CC-Webhook-Signature"
  }
  event {
    id   = body.event.id
    type = body.event.type
    time = body.event.created_at
    unit = "rfc3339"
    key  = body.event.data.id
  }
}
