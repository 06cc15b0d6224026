# FastSpring. Facts were checked on 2026-11-29.

webhook "fastspring" {
  # developer.fastspring.com/reference/message-security; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header   = "X-FS-Signature"
    encoding = "base64"
  }
  event {
    split = body.events
    id    = item.id
    type  = item.type
    time  = item.created
    unit  = "ms"
  }
}
