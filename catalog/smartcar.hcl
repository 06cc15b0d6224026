# Smartcar. Facts were checked on 2026-11-29.

webhook "smartcar" {
  # The key is the management token (smartcar.com/docs/integrations/webhooks; not looked up,
  # 2026-11-29).
  verify "hmac" {
    header = "SC-Signature"
    # Whether it is signed is not verified. What is signed here has no character of JSON in it, so that it
    # is never an event.
    handshake "verify" {
      signed = false
      when   = body.eventType == "VERIFY" || body.eventName == "verify"
      sign   = body.data.challenge
      body   = { challenge = signature.hex }
    }
  }
  event {
    id      = body.eventId
    type    = body.eventType
    account = body.data.user.id
    key     = body.data.vehicle.id
  }
}
