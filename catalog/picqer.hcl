# Picqer. Facts were checked on 2026-11-29.

webhook "picqer" {
  # picqer.com/en/api/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header   = "X-Picqer-Signature"
    encoding = "base64"
  }
  event {
    id   = body.idhook_event
    type = body.event
    time = body.event_triggered_at
  }
}
