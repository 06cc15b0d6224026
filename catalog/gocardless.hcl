# GoCardless. Facts were checked on 2026-11-29.

webhook "gocardless" {
  # developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks; not looked up,
  # 2026-11-29.
  verify "hmac" {
    header = "Webhook-Signature"
  }
  event {
    split   = body.events
    id      = item.id
    type    = item.resource_type
    account = item.links.organisation
    time    = item.created_at
    unit    = "rfc3339"
  }
}
