# Telnyx. Facts were checked on 2026-11-29.

webhook "telnyx" {
  # developers.telnyx.com/docs/messaging/messages/receiving-webhooks, facts of 2026-11.
  # keys is the account's public key, in Base64.
  verify "ed25519" {
    header    = "Telnyx-Signature-Ed25519"
    timestamp = "Telnyx-Timestamp"
    message   = "${timestamp}|${raw_body}"
  }
  # meta says which attempt it is, and at which of two URLs
  # (rubydoc.info/gems/telnyx, Telnyx::Models::DeliveryUpdateWebhookEvent::Meta, looked up 2026-11-30).
  event {
    id     = body.data.id
    type   = body.data.event_type
    time   = body.data.occurred_at
    unit   = "rfc3339"
    varies = [body.meta.attempt, body.meta.delivered_to]
  }
}
