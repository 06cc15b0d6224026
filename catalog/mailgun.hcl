# Mailgun. Facts were checked on 2026-11-29.

# verify "mailgun" (secrets is the webhook signing key): documentation.mailgun.com,
# Securing Webhooks, facts of 2026-11. The signature does not cover the event. 406 ends
# the repeats. The id is the token, which is signed, and not event-data.id, which is not: so
# the store, too, knows another body under a token that was used. Whether a repeat of
# Mailgun's has a token of its own is not verified; it is another event then.
webhook "mailgun" {
  # documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads, looked up 2026-11-30.
  event {
    type    = body["event-data"].event
    account = body["event-data"].domain.name
    time    = body["event-data"].timestamp
    key     = body["event-data"].message.headers["message-id"]
  }
}
