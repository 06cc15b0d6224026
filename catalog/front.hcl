# Front application webhooks. Facts were checked on 2026-11-29.

webhook "front" {
  # dev.frontapp.com/docs/application-webhooks, read 2026-11-29. Rule webhooks sign by SHA-1, without a
  # time.
  verify "hmac" {
    header    = "X-Front-Signature"
    encoding  = "base64"
    timestamp = "X-Front-Request-Timestamp"
    unit      = "ms"
    message   = "${timestamp}:${raw_body}"
    handshake "challenge" {
      when = header["X-Front-Challenge"] != null
      body = header["X-Front-Challenge"]
    }
  }
  event {
    id      = body.payload.id
    type    = body.type
    account = body.authorization.id
    time    = body.payload.emitted_at
    key     = body.payload.conversation.id
  }
}
