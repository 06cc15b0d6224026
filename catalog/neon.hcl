# Neon Auth. Facts were checked on 2026-11-29.

webhook "neon" {
  # neon.com/docs/auth/guides/webhooks, looked up 2026-11-29 in part: a detached JWS over
  # the timestamp in milliseconds, a dot and the body in base64url. jwks_url is that of
  # one's own project: .well-known/jwks.json below its NEON_AUTH_URL. That the name of the
  # key stands in the signature too is not verified.
  verify "jws" {
    header    = "X-Neon-Signature"
    alg       = "EdDSA"
    timestamp = "X-Neon-Timestamp"
    unit      = "ms"
    encoded   = true
  }
  event {
    id   = body.event_id
    type = body.event_type
  }
}
