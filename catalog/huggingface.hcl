# Hugging Face. Facts were checked on 2026-11-29.

webhook "huggingface" {
  # huggingface.co/docs/hub/webhooks; not looked up, 2026-11-29.
  verify "token" {
    header = "X-Webhook-Secret"
  }
  # What was changed, changed back and changed again has the same bytes.
  event {
    type    = body.event.action
    account = body.repo.id
    key     = body.repo.id
    repeat  = "1m"
  }
}
