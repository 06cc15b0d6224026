# Jira Cloud webhooks with a secret. Facts were checked on 2026-11-29.

webhook "jira" {
  headers = ["X-Atlassian-Webhook-Identifier"]
  # developer.atlassian.com/cloud/jira/platform/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header = "X-Hub-Signature"
    prefix = "sha256="
  }
  # The id is not signed.
  event {
    id   = header["X-Atlassian-Webhook-Identifier"]
    type = body.webhookEvent
    time = body.timestamp
    unit = "ms"
    key  = body.issue.id
  }
}
