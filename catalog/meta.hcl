# Meta: Pages, Messenger, Instagram, WhatsApp. Facts were checked on 2026-11-29.

webhook "meta" {
  # The key is the app secret; what is signed is the body with its escapes as sent
  # (developers.facebook.com/docs/messenger-platform/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Hub-Signature-256"
    prefix = "sha256="
    # The verify token is the policy's: handshake "subscribe" { token = [env("META_VERIFY_TOKEN")] }
    # (developers.facebook.com/docs/graph-api/webhooks/getting-started; not looked up, 2026-11-29).
    handshake "subscribe" {
      method    = "GET"
      when      = query["hub.mode"] == "subscribe"
      presented = query["hub.verify_token"]
      body      = query["hub.challenge"]
    }
  }
  # Up to 1000 changes are in one request. A time is in s or in ms by its product
  # (not verified): either is read.
  # What changed is in changes of an entry, or in messaging or standby (developers.facebook.com/docs/graph-api/webhooks
  # and …/messenger-platform/webhooks; not looked up, 2026-11-29): of an entry with one of these lists each of it is an
  # event, and an entry with several stays whole. The time of an entry is when it was sent, which a repeat need not share:
  # a message has its own.
  event {
    split   = body.entry
    nested  = item.messaging == null && item.standby == null ? item.changes : item.changes == null && item.standby == null ? item.messaging : item.changes == null && item.messaging == null ? item.standby : null
    type    = item.field == null ? body.object : "${body.object} ${item.field}"
    account = group.id
    time    = coalesce(item.timestamp, group.time)
    unit    = "ms"
  }
}
