# Adyen for Platforms and management webhooks. Facts were checked on 2026-11-29.

webhook "adyen_platform" {
  # docs.adyen.com/development-resources/webhooks/verify-hmac-signatures; not looked up at the provider,
  # 2026-11-29.
  verify "hmac" {
    header          = "HmacSignature"
    encoding        = "base64"
    secret_encoding = "hex"
    reply { body = "[accepted]" }
  }
  event {
    type    = body.type
    account = body.data.balancePlatform
    time    = body.timestamp
    unit    = "rfc3339"
    key     = body.data.id
  }
}
