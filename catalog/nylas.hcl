# Nylas. Facts were checked on 2026-11-29.

webhook "nylas" {
  # What is signed is the body as sent, compressed or not (developer.nylas.com/docs/v3/notifications;
  # not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Nylas-Signature"
    handshake "challenge" {
      method = "GET"
      body   = query.challenge
    }
  }
  # developer.nylas.com/docs/reference/notifications, looked up 2026-11-30: webhook_delivery_attempt counts, and what
  # is told of a message sent has its grant beside the object.
  event {
    id      = body.id
    type    = body.type
    account = coalesce(body.data.object.grant_id, body.data.grant_id)
    time    = body.time
    key     = coalesce(body.data.object.id, body.data.object.message.id)
    varies  = [body.webhook_delivery_attempt]
  }
}
