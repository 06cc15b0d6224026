# Mandrill, which is Mailchimp Transactional. Facts were checked on 2026-11-29.

webhook "mandrill" {
  # mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks, facts of
  # 2026-11: HMAC-SHA1 of the exact URL and the fields of the form. secrets are the keys
  # of the webhook.
  verify "form" {
    header = "X-Mandrill-Signature"
    # When a webhook is made its URL is tried by HEAD.
    handshake "head" { method = "HEAD" }
  }
  # The events are a list, as JSON in a field of the form (the same guide); an event has the id of its
  # message only, so its own is a digest.
  event {
    split = body.mandrill_events
    type  = item.event
    time  = item.ts
    key   = item._id
  }
}
