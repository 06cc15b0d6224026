# RingCentral. Facts were checked on 2026-11-29.

webhook "ringcentral" {
  # The verificationToken of the subscription (developers.ringcentral.com/guide/notifications/webhooks;
  # not looked up, 2026-11-29).
  verify "token" {
    header = "Verification-Token"
    handshake "validation" {
      signed = false
      when   = header["Validation-Token"] != null
      header = { Validation-Token = header["Validation-Token"] }
    }
  }
  event {
    id      = body.uuid
    type    = body.event
    account = body.ownerId
    time    = body.timestamp
    unit    = "rfc3339"
  }
}
