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
}
