# WooCommerce. Facts were checked on 2026-11-29.

webhook "woocommerce" {
  headers = ["X-WC-Webhook-Topic", "X-WC-Webhook-Resource", "X-WC-Webhook-Event", "X-WC-Webhook-ID", "X-WC-Webhook-Delivery-ID"]
  # github.com/hookdeck/webhook-skills f8a4801, woocommerce-webhooks; not looked up at WooCommerce,
  # 2026-11-29.
  verify "hmac" {
    header   = "X-WC-Webhook-Signature"
    encoding = "base64"
  }
  # The type is not signed.
  event {
    type = header["X-WC-Webhook-Topic"]
    time = body.date_modified_gmt
    key  = body.id
  }
}
