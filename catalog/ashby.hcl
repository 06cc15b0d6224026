# Ashby. Facts were checked on 2026-11-29.

webhook "ashby" {
  # developers.ashbyhq.com/docs/authenticating-webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "Ashby-Signature"
    prefix = "sha256="
  }
  event {
    type = body.action
  }
}
