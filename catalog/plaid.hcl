# Plaid. Facts were checked on 2026-11-29.

# verify "plaid": plaid.com/docs/api/webhooks/webhook-verification, facts of 2026-11. An
# event has no id: it is known by its body.
webhook "plaid" {
  event {
    type    = "${body.webhook_type} ${body.webhook_code}"
    account = body.item_id
    key     = body.item_id
  }
}
