# Hugging Face. Facts were checked on 2026-11-29.

webhook "huggingface" {
  # huggingface.co/docs/hub/webhooks; not looked up, 2026-11-29.
  verify "token" {
    header = "X-Webhook-Secret"
  }
  event {
    type    = body.event.action
    account = body.repo.id
    key     = body.repo.id
  }
}
