# Svix, which signs by Standard Webhooks under names of its own. Facts were checked on 2026-11-29.

webhook "svix" {
  # docs.svix.com/receiving/verifying-payloads/how-manual, whose vector it passes; not looked up,
  # 2026-11-29.
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
    type = body.type
    time = body.timestamp
    unit = "rfc3339"
  }
}
