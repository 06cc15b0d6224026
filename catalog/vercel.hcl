# Vercel. Facts were checked on 2026-11-29.

webhook "vercel" {
  # github.com/hookdeck/webhook-skills f8a4801, vercel-webhooks; not looked up at Vercel, 2026-11-29.
  # A drain is tried by GET when it is made, and the answer has to bear a value that Vercel shows there
  # (q-docs.dph.am, vercel-log-drain, read 2026-11-30; not looked up at Vercel): the policy says
  # handshake "drain" { method = "GET", header = { X-Vercel-Verify = "…" } }, in lines of their own.
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
