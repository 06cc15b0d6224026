# Webflow. Facts were checked on 2026-11-29.

webhook "webflow" {
  # developers.webflow.com/data/docs/verifying-webhook-signatures; not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header    = "X-Webflow-Signature"
    timestamp = "X-Webflow-Timestamp"
    unit      = "ms"
    message   = "${timestamp}:${raw_body}"
  }
  event {
    type    = body.triggerType
    account = body.payload.siteId
    key     = body.payload.id
  }
}
