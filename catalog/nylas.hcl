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
  event {
    id      = body.id
    type    = body.type
    account = body.data.object.grant_id
    time    = body.time
    key     = body.data.object.id
  }
}
