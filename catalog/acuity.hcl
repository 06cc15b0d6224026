# Acuity Scheduling. Facts were checked on 2026-11-29.

webhook "acuity" {
  # developers.acuityscheduling.com/docs/webhooks, looked up 2026-11-30.
  verify "hmac" {
    header   = "X-Acuity-Signature"
    encoding = "base64"
  }
  # Each change of an appointment has the same bytes (the same page).
  event {
    type   = body.action
    key    = body.id
    repeat = "1m"
  }
}
