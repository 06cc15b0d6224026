# Uber. Facts were checked on 2026-11-29.

webhook "uber" {
  # The key is the client secret (developer.uber.com/docs/eats/guides/webhooks); not looked up at the
  # provider, 2026-11-29.
  verify "hmac" {
    header = "X-Uber-Signature"
  }
  event {
    id      = body.event_id
    type    = body.event_type
    account = body.meta.user_id
    time    = body.event_time
    key     = body.meta.resource_id
  }
}
