# Asana. Facts were checked on 2026-11-29.

webhook "asana" {
  # The key is the X-Hook-Secret of the handshake (developers.asana.com/docs/webhooks-guide, read
  # 2026-11-29).
  verify "hmac" {
    header = "X-Hook-Signature"
  }
  # Without events it is a heartbeat. Delivery is at most once (the same guide).
  event {
    type = body.events[0].action
    time = body.events[0].created_at
    unit = "rfc3339"
    key  = body.events[0].resource.gid
  }
}
