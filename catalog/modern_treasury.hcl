# Modern Treasury. Facts were checked on 2026-11-29.

webhook "modern_treasury" {
  headers = ["X-Topic", "X-Event-ID"]
  # docs.moderntreasury.com/platform/docs/webhooks-overview; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Signature"
  }
  # The id is not signed.
  event {
    id   = header["X-Event-ID"]
    type = body.event
    time = body.data.updated_at
    unit = "rfc3339"
    key  = body.data.id
  }
}
