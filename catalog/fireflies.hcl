# Fireflies. Facts were checked on 2026-11-29.

webhook "fireflies" {
  # docs.fireflies.ai/graphql-api/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Hub-Signature"
    prefix = "sha256="
  }
  event {
    type = body.eventType
    key  = body.meetingId
  }
}
