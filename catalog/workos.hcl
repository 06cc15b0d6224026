# WorkOS. Facts were checked on 2026-11-29.

webhook "workos" {
  # A space follows the comma, and the timestamp is in ms (workos.com/docs/events/data-syncing/webhooks;
  # not looked up, 2026-11-29).
  verify "hmac" {
    header          = "WorkOS-Signature"
    separator       = ","
    field           = "v1"
    timestamp_field = "t"
    unit            = "ms"
    tolerance       = "3m"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    id      = body.id
    type    = body.event
    account = body.data.organization_id
    time    = body.created_at
    unit    = "rfc3339"
    key     = body.data.id
  }
}
