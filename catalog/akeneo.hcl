# Akeneo. Facts were checked on 2026-11-29.

webhook "akeneo" {
  # api.akeneo.com/events-documentation/subscription.html; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Akeneo-Request-Signature"
    timestamp = "X-Akeneo-Request-Timestamp"
    message   = "${timestamp}.${raw_body}"
  }
  event {
    split = body.events
    id    = item.event_id
    type  = item.action
    time  = item.event_datetime
    unit  = "rfc3339"
  }
}
