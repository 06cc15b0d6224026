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
  # Several events may be in one request (facts of 2026-11: data.events).
  event {
    split   = body.data.events
    id      = item.uuid
    type    = item.eventType
    account = body.source
    time    = item.published
    unit    = "rfc3339"
  }
}
