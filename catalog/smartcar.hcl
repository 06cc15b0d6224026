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
  # smartcar.com/docs/api-reference/webhooks/events/overview, looked up 2026-11-30: eventId stays, and meta says which
  # delivery it is and when.
  event {
    id      = body.eventId
    type    = body.eventType
    account = body.data.user.id
    key     = coalesce(body.data.vehicle.id, body.vehicleId)
    varies  = [body.meta.deliveryId, body.meta.deliveredAt]
  }
}
