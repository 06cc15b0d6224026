# PandaDoc. Facts were checked on 2026-11-29.

webhook "pandadoc" {
  # developers.pandadoc.com/docs/webhook-verification; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    signature = query.signature
  }
  event {
    split = body
    type  = item.event
    time  = item.data.date_modified
    unit  = "rfc3339"
    key   = item.data.id
  }
}
