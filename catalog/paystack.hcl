# Paystack. Facts were checked on 2026-11-29.

webhook "paystack" {
  # The key is the secret key (paystack.com/docs/payments/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header    = "X-Paystack-Signature"
    algorithm = "sha512"
  }
  event {
    type = body.event
    time = body.data.created_at
    unit = "rfc3339"
    key  = body.data.id
  }
}
