# Revolut Business. Facts were checked on 2026-11-29.

webhook "revolut" {
  # developer.revolut.com/docs/guides/manage-accounts/webhooks/verify-the-payload-signature; not looked
  # up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Revolut-Signature"
    separator = ","
    prefix    = "v1="
    timestamp = "Revolut-Request-Timestamp"
    unit      = "ms"
    message   = "v1.${timestamp}.${raw_body}"
  }
  # Events of Business have a time; those of Merchant have event and order_id, and a payment of an order may be
  # declined again (developer.revolut.com/docs/guides/accept-payments/tutorials/work-with-webhooks/using-webhooks,
  # looked up 2026-11-30).
  event {
    id     = body.data.id == null || body.timestamp == null ? null : "${body.event} ${body.timestamp} ${body.data.id}"
    type   = body.event
    time   = body.timestamp
    unit   = "rfc3339"
    key    = coalesce(body.data.id, body.order_id)
    repeat = "1m"
  }
}
