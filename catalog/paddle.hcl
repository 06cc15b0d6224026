# Paddle Billing. Facts were checked on 2026-11-29.

webhook "paddle" {
  # github.com/PaddleHQ/paddle-go-sdk, webhook_verifier_test.go, whose vector it passes; its document
  # (developer.paddle.com/webhooks/signature-verification) was not looked up, 2026-11-29. The SDK
  # tolerates 5 s only.
  verify "hmac" {
    header          = "Paddle-Signature"
    separator       = ";"
    field           = "h1"
    timestamp_field = "ts"
    message         = "${timestamp}:${raw_body}"
  }
  event {
    id   = body.event_id
    type = body.event_type
    time = body.occurred_at
    unit = "rfc3339"
    key  = body.data.id
  }
}
