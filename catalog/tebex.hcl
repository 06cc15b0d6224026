# Tebex. Facts were checked on 2026-11-29.

webhook "tebex" {
  # The SHA-256 of the body, in hexadecimal digits, is what is signed
  # (docs.tebex.io/developers/webhooks/overview; not looked up, 2026-11-29).
  verify "hmac" {
    header  = "X-Signature"
    message = "${raw_body_sha256}"
    handshake "validation" {
      when = body.type == "validation.webhook"
      body = { id = body.id }
    }
  }
  event {
    id   = body.id
    type = body.type
    time = body.date
    unit = "rfc3339"
    key  = body.subject.transaction_id
  }
}
