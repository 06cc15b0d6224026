# Statsig. Facts were checked on 2026-11-29.

webhook "statsig" {
  # docs.statsig.com/integrations/event_webhook; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Statsig-Signature"
    prefix    = "v0="
    timestamp = "X-Statsig-Request-Timestamp"
    unit      = "ms"
    message   = "v0:${timestamp}:${raw_body}"
  }
  event {
    split = body.data
    type  = item.eventName
    time  = item.timestamp
    unit  = "ms"
  }
}
