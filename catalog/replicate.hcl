# Replicate, which signs by Standard Webhooks. Facts were checked on 2026-11-29.

webhook "replicate" {
  # github.com/hookdeck/webhook-skills f8a4801, replicate-webhooks; not looked up at Replicate,
  # 2026-11-29.
  verify "standard" {}
  event {
    type = body.status
    key  = body.id
  }
}
