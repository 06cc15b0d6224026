# PagerDuty, version 3. Facts were checked on 2026-11-29.

webhook "pagerduty" {
  # Several while a secret is rotated (developer.pagerduty.com/docs/verifying-webhook-signatures; not
  # looked up, 2026-11-29).
  verify "hmac" {
    header    = "X-PagerDuty-Signature"
    prefix    = "v1="
    separator = ","
  }
  event {
    id   = body.event.id
    type = body.event.event_type
    time = body.event.occurred_at
    unit = "rfc3339"
    key  = body.event.data.id
  }
}
