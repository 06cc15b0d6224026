# Plaid. Facts were checked on 2026-11-29.

# verify "plaid": plaid.com/docs/api/webhooks/webhook-verification, facts of 2026-11. An
# event has no id: it is known by its body. Most say no more than that there is something
# new, with the same bytes each time (SYNC_UPDATES_AVAILABLE in docs.rs/plaid, which is made of
# Plaid's own description, looked up 2026-11-30).
webhook "plaid" {
  event {
    type    = "${body.webhook_type} ${body.webhook_code}"
    account = body.item_id
    key     = body.item_id
    repeat  = "1m"
  }
}
