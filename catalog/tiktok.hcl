# TikTok for Developers. Facts were checked on 2026-11-29.

webhook "tiktok" {
  # developers.tiktok.com/doc/webhooks-verification; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header          = "TikTok-Signature"
    separator       = ","
    field           = "s"
    timestamp_field = "t"
    message         = "${timestamp}.${raw_body}"
  }
  event {
    type    = body.event
    account = body.user_openid
    time    = body.create_time
  }
}
