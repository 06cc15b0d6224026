# Fireblocks, webhooks of version 2. Facts were checked on 2026-11-29.

webhook "fireblocks" {
  # developers.fireblocks.com/reference/validating-webhooks, looked up 2026-11-29: a
  # detached JWS over the raw body. The set is that of the United States; elsewhere write
  # verify "jws" with another jwks_url.
  verify "jws" {
    header   = "Fireblocks-Webhook-Signature"
    alg      = "RS512"
    jwks_url = "https://keys.fireblocks.io/.well-known/jwks.json"
  }
  event {
    id      = body.id
    type    = body.eventType
    account = body.workspaceId
    time    = body.createdAt
    unit    = "ms"
    key     = body.resourceId
  }
}
