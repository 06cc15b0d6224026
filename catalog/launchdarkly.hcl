# LaunchDarkly. Facts were checked on 2026-11-29.

webhook "launchdarkly" {
  # launchdarkly.com/docs/home/infrastructure/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-LD-Signature"
  }
  event {
    id      = body._id
    type    = body.kind
    account = body._accountId
    time    = body.date
    unit    = "ms"
    key     = body.target.resources[0]
  }
}
