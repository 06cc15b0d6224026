# Resend, which sends by Svix. Facts were checked on 2026-11-29.

webhook "resend" {
  # github.com/hookdeck/webhook-skills f8a4801, resend-webhooks; not looked up at Resend, 2026-11-29.
  verify "svix" {}
  event {
    type = body.type
    time = body.created_at
    unit = "rfc3339"
    key  = body.data.email_id
  }
}
