# Oura. Facts were checked on 2026-11-29.

webhook "oura" {
  # The key is the client secret; the digits are capitals. The unit of the timestamp is not verified
  # (cloud.ouraring.com/v2/docs; not looked up, 2026-11-29).
  verify "hmac" {
    header    = "X-Oura-Signature"
    timestamp = "X-Oura-Timestamp"
    message   = "${timestamp}${raw_body}"
    # The token is what the subscription was made with: handshake "challenge" { token =
    # [env("OURA_VERIFY_TOKEN")] }.
    handshake "challenge" {
      method    = "GET"
      presented = query.verification_token
      body      = { challenge = query.challenge }
    }
  }
  event {
    type    = body.event_type
    account = body.user_id
    time    = body.event_time
    unit    = "rfc3339"
    key     = body.object_id
  }
}
