# Vercel. Facts were checked on 2026-11-29.

webhook "vercel" {
  # github.com/hookdeck/webhook-skills f8a4801, vercel-webhooks; not looked up at Vercel, 2026-11-29.
  verify "hmac" {
    header    = "X-Vercel-Signature"
    algorithm = "sha1"
  }
  event {
    id      = body.id
    type    = body.type
    account = body.payload.team.id
    time    = body.createdAt
    unit    = "ms"
    key     = body.payload.deployment.id
  }
}
