# Mux. Facts were checked on 2026-11-29.

webhook "mux" {
  # docs.mux.com/guides/verify-webhook-signatures; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "Mux-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    message         = "${timestamp}.${raw_body}"
  }
  # attempts are those that were made to send it (@mux/mux-node, BaseWebhookEvent, looked up 2026-11-30).
  event {
    id      = body.id
    type    = body.type
    account = body.environment.id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.object.id
    varies  = [body.attempts]
  }
}
