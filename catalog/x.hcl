# X (Twitter): account activity. Facts were checked on 2026-11-29.

webhook "x" {
  # The key is the consumer secret (docs.x.com/x-api/webhooks/introduction, read 2026-11-29).
  verify "hmac" {
    header   = "X-Twitter-Webhooks-Signature"
    prefix   = "sha256="
    encoding = "base64"
    # At registration and every hour (docs.x.com/x-api/webhooks/quickstart, read 2026-11-29). Anybody may
    # ask: what is signed has no character of JSON in it, so that it is never an event.
    handshake "crc" {
      method = "GET"
      sign   = query.crc_token
      body   = { response_token = "sha256=${signature.base64}" }
    }
  }
  event {
    account = body.for_user_id
  }
}
