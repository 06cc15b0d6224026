# Ashby. Facts were checked on 2026-11-29.

webhook "ashby" {
  # developers.ashbyhq.com/docs/authenticating-webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "Ashby-Signature"
    prefix = "sha256="
  }
  # The same for each repeat, and for each webhook that is told of the event
  # (developers.ashbyhq.com/docs/common-payload-data, looked up 2026-11-30).
  event {
    id   = body.webhookActionId
    type = body.action
  }
}
