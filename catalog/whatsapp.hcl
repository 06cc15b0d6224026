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
  # Each change of an entry is an event. It brings what is said of whose number it is beside the messages or statuses,
  # of which there may be several: then it has no id of its own.
  event {
    split   = body.entry
    nested  = item.changes
    id      = item.value.messages[1] != null || item.value.statuses[1] != null || item.value.messages[0] != null && item.value.statuses[0] != null ? null : item.value.messages[0].id != null ? item.value.messages[0].id : item.value.statuses[0].id != null ? "${item.value.statuses[0].id} ${item.value.statuses[0].status}" : null
    type    = item.field
    account = group.id
    time    = coalesce(item.value.messages[0].timestamp, item.value.statuses[0].timestamp)
    key     = coalesce(item.value.messages[0].from, item.value.statuses[0].id)
  }
}
