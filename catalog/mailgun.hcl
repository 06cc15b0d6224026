# Mailgun. Facts were checked on 2026-11-29.

# verify "mailgun" (secrets is the webhook signing key): documentation.mailgun.com,
# Securing Webhooks, facts of 2026-11. The signature does not cover the event. 406 ends
# the repeats.
webhook "mailgun" {
  event {
    id   = body["event-data"].id
    type = body["event-data"].event
    time = body["event-data"].timestamp
    key  = body["event-data"].message.headers["message-id"]
  }
}
