# ShipHero. Facts were checked on 2026-11-29.

webhook "shiphero" {
  # developer.shiphero.com/webhooks; not looked up, 2026-11-29.
  verify "hmac" {
    header   = "X-Shiphero-Hmac-Sha256"
    encoding = "base64"
    # Another answer counts as a failure.
    reply {
      type = "application/json"
      body = "{\"code\": \"200\", \"Status\": \"Success\"}"
    }
  }
  event {
    type    = body.webhook_type
    account = body.account_uuid
    key     = body.order_id
  }
}
