# GoCardless. Facts were checked on 2026-11-29.

webhook "gocardless" {
  # developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks; not looked up,
  # 2026-11-29.
  verify "hmac" {
    header = "Webhook-Signature"
  }
  event {
    id      = body.events[0].id
    type    = body.events[0].resource_type
    account = body.events[0].links.organisation
    time    = body.events[0].created_at
    unit    = "rfc3339"
  }
}
