# Clerk, which sends by Svix. Facts were checked on 2026-11-29.

webhook "clerk" {
  # github.com/hookdeck/webhook-skills f8a4801, clerk-webhooks; not looked up at Clerk, 2026-11-29.
  verify "hmac" {
    header          = "Svix-Signature"
    separator       = " "
    assign          = ","
    field           = "v1"
    encoding        = "base64"
    timestamp       = "Svix-Timestamp"
    message         = "${header["svix-id"]}.${timestamp}.${raw_body}"
    secret_encoding = "base64"
    secret_prefix   = "whsec_"
    id              = "Svix-Id"
  }
  event {
    type    = body.type
    account = body.instance_id
    time    = body.timestamp
    unit    = "ms"
    key     = body.data.id
  }
}
