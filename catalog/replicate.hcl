# Replicate, which signs by Standard Webhooks. Facts were checked on 2026-11-29.

webhook "replicate" {
  # github.com/hookdeck/webhook-skills f8a4801, replicate-webhooks; not looked up at Replicate,
  # 2026-11-29.
  verify "hmac" {
    header          = "Webhook-Signature"
    separator       = " "
    assign          = ","
    field           = "v1"
    encoding        = "base64"
    timestamp       = "Webhook-Timestamp"
    message         = "${header["webhook-id"]}.${timestamp}.${raw_body}"
    secret_encoding = "base64"
    secret_prefix   = "whsec_"
    id              = "Webhook-Id"
  }
  event {
    type = body.status
    key  = body.id
  }
}
