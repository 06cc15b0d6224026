# WhatsApp Business Platform, which signs as Meta does. Facts were checked on 2026-11-29.

webhook "whatsapp" {
  # The key is the app secret (developers.facebook.com/docs/whatsapp/cloud-api/guides/set-up-webhooks;
  # not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Hub-Signature-256"
    prefix = "sha256="
    # The verify token is the policy's, as for Meta.
    handshake "subscribe" {
      method    = "GET"
      when      = query["hub.mode"] == "subscribe"
      presented = query["hub.verify_token"]
      body      = query["hub.challenge"]
    }
  }
  event {
    split   = body.entry
    type    = item.changes[0].field
    account = item.id
  }
}
