# Cursor background agents. Facts were checked on 2026-11-29.

webhook "cursor" {
  headers = ["X-Webhook-Event", "X-Webhook-ID"]
  # github.com/hookdeck/webhook-skills f8a4801, cursor-webhooks; not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header = "X-Webhook-Signature"
    prefix = "sha256="
  }
  event {
    type = body.event
    time = body.timestamp
    unit = "rfc3339"
    key  = body.id
  }
}
