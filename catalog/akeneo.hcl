# Akeneo. Facts were checked on 2026-11-29.

webhook "akeneo" {
  # api.akeneo.com/events-documentation/subscription.html; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Akeneo-Request-Signature"
    timestamp = "X-Akeneo-Request-Timestamp"
    message   = "${timestamp}.${raw_body}"
  }
  event {
    id   = body.events[0].event_id
    type = body.events[0].action
    time = body.events[0].event_datetime
    unit = "rfc3339"
  }
}
