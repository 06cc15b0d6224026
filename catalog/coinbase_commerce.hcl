# Coinbase Commerce. Facts were checked on 2026-11-29.

webhook "coinbase_commerce" {
  # docs.cdp.coinbase.com/commerce/docs/webhooks-security; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-CC-Webhook-Signature"
  }
  # Beside the event stand its delivery, which time it is tried, and when that was due
  # (docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-fields, looked up 2026-11-30; whether id is another
  # for each is not verified).
  event {
    id     = body.event.id
    type   = body.event.type
    time   = body.event.created_at
    unit   = "rfc3339"
    key    = body.event.data.id
    varies = [body.id, body.attempt_number, body.scheduled_for]
  }
}
