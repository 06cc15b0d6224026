# Help Scout. Facts were checked on 2026-11-29.

webhook "helpscout" {
  headers = ["X-HelpScout-Event"]
  # developer.helpscout.com/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-HelpScout-Signature"
    encoding  = "base64"
    algorithm = "sha1"
  }
  # The type is not signed.
  event {
    type = header["X-HelpScout-Event"]
    key  = body.id
  }
}
