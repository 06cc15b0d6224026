# Customer.io reporting webhooks. Facts were checked on 2026-11-29.

webhook "customerio" {
  # customer.io/docs/journeys/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-CIO-Signature"
    timestamp = "X-CIO-Timestamp"
    message   = "v0:${timestamp}:${raw_body}"
  }
  event {
    id   = body.event_id
    type = body.metric
    time = body.timestamp
    key  = body.data.customer_id
  }
}
