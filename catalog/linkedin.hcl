# LinkedIn. Facts were checked on 2026-11-29.

webhook "linkedin" {
  # The key is the client secret (learn.microsoft.com/linkedin/shared/api-guide/webhook-validation, read
  # 2026-11-29).
  verify "hmac" {
    header  = "X-LI-Signature"
    message = "hmacsha256=${raw_body}"
    # At registration and every two hours; three failures block the endpoint (the same page).
    handshake "challenge" {
      method = "GET"
      sign   = query.challengeCode
      body   = { challengeCode = query.challengeCode, challengeResponse = signature.hex }
    }
  }
  event {
    type = body.type
    time = body.lastModifiedAt
    unit = "ms"
  }
}
