# Okta event hooks. Facts were checked on 2026-11-29.

webhook "okta" {
  # The secret is the value of the authentication field of the hook
  # (developer.okta.com/docs/concepts/event-hooks; not looked up, 2026-11-29).
  verify "token" {
    header = "Authorization"
    handshake "verification" {
      method = "GET"
      when   = header["X-Okta-Verification-Challenge"] != null
      body   = { verification = header["X-Okta-Verification-Challenge"] }
    }
  }
  event {
    id      = body.data.events[0].uuid
    type    = body.data.events[0].eventType
    account = body.source
    time    = body.data.events[0].published
    unit    = "rfc3339"
  }
}
