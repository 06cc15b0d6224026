# Clio. Facts were checked on 2026-11-29.

webhook "clio" {
  # docs.developers.clio.com/api-docs/webhooks; not looked up, 2026-11-29. A webhook ends by itself
  # after 3 to 31 days.
  verify "hmac" {
    header = "X-Hook-Signature"
    # As Asana's.
    handshake "secret" {
      signed    = false
      when      = header["X-Hook-Secret"] != null
      presented = query.guard
      learn     = header["X-Hook-Secret"]
      header    = { X-Hook-Secret = header["X-Hook-Secret"] }
    }
  }
  event {
    type = body.meta.event
    time = body.data.updated_at
    unit = "rfc3339"
    key  = body.data.id
  }
}
