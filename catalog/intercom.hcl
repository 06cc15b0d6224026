# Intercom. Facts were checked on 2026-11-29.

webhook "intercom" {
  # The key is the client secret (developers.intercom.com/docs/webhooks/webhook-notifications; not
  # looked up, 2026-11-29).
  verify "hmac" {
    header    = "X-Hub-Signature"
    prefix    = "sha1="
    algorithm = "sha1"
  }
  # A notification says how its delivery goes (automatelab.tech/saas-webhooks/intercom, read 2026-11-30; not looked up
  # at Intercom).
  event {
    id      = body.id
    type    = body.topic
    account = body.app_id
    time    = body.created_at
    key     = body.data.item.id
    varies  = [body.delivery_attempts, body.delivery_status, body.delivered_at]
  }
}
