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
  # Those of the platform and those of management have other names for the same (facts of 2026-11).
  event {
    type    = body.type
    account = coalesce(body.data.balancePlatform, body.data.merchantId)
    time    = coalesce(body.timestamp, body.createdAt)
    unit    = "rfc3339"
    key     = coalesce(body.data.id, body.data.merchantId)
  }
}
