# Razorpay. Facts were checked on 2026-11-29.

webhook "razorpay" {
  headers = ["X-Razorpay-Event-Id"]
  # razorpay.com/docs/webhooks/validate-test, by the vector of its SDK; not looked up, 2026-11-29.
  verify "hmac" {
    header = "X-Razorpay-Signature"
  }
  # The id is not signed.
  event {
    id      = header["X-Razorpay-Event-Id"]
    type    = body.event
    account = body.account_id
    time    = body.created_at
  }
}
