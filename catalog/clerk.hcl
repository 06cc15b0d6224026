# Clerk, which sends by Svix. Facts were checked on 2026-11-29.

webhook "clerk" {
  # github.com/hookdeck/webhook-skills f8a4801, clerk-webhooks; not looked up at Clerk, 2026-11-29.
  verify "svix" {}
  event {
    type    = body.type
    account = body.instance_id
    time    = body.timestamp
    unit    = "ms"
    key     = body.data.id
  }
}
