# NMI. Facts were checked on 2026-11-29.

webhook "nmi" {
  # t is no time but a nonce (docs.nmi.com/docs/webhooks); not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Webhook-Signature"
    separator = ","
    field     = "s"
    message   = "${field.t}.${raw_body}"
  }
  event {
    id      = body.event_id
    type    = body.event_type
    account = body.event_body.merchant.id
    key     = body.event_body.transaction_id
  }
}
