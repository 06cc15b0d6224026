# BigCommerce, which signs by Standard Webhooks. Facts were checked on 2026-11-29.

webhook "bigcommerce" {
  # The key is the client secret, its own bytes (docs.bigcommerce.com; not looked up, 2026-11-29).
  verify "hmac" {
    header    = "Webhook-Signature"
    separator = " "
    assign    = ","
    field     = "v1"
    encoding  = "base64"
    timestamp = "Webhook-Timestamp"
    message   = "${header["webhook-id"]}.${timestamp}.${raw_body}"
    id        = "Webhook-Id"
  }
  event {
    type    = body.scope
    account = body.store_id
    time    = body.created_at
    key     = body.data.id
  }
}
