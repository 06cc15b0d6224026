# Expo EAS. Facts were checked on 2026-11-29.

webhook "expo" {
  # docs.expo.dev/eas/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Expo-Signature"
    prefix    = "sha1="
    algorithm = "sha1"
  }
  # body.id is that of a build or a submission.
  event {
    id      = "${body.id} ${body.status}"
    type    = body.status
    account = body.accountName
    time    = body.updatedAt
    unit    = "rfc3339"
    key     = body.id
  }
}
