# Commerce Layer. Facts were checked on 2026-11-29.

webhook "commercelayer" {
  headers = ["X-CommerceLayer-Topic"]
  # docs.commercelayer.io/core/callbacks-security; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header   = "X-CommerceLayer-Signature"
    encoding = "base64"
  }
  event {
    key = body.data.id
  }
}
