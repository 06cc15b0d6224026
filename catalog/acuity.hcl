# Acuity Scheduling. Facts were checked on 2026-11-29.

webhook "acuity" {
  # developers.acuityscheduling.com/docs/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header   = "X-Acuity-Signature"
    encoding = "base64"
  }
  event {
    type = body.action
    key  = body.id
  }
}
