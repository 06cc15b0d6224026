# GitLab with a signing token, which signs by Standard Webhooks. Facts were checked on 2026-11-29.

webhook "gitlab" {
  headers = ["X-Gitlab-Event", "X-Gitlab-Event-UUID", "Idempotency-Key"]
  # docs.gitlab.com/user/project/integrations/webhooks; not looked up, 2026-11-29. A webhook with the
  # older secret token only is verify "token" { header = "X-Gitlab-Token" }.
  verify "standard" {}
  event {
    type    = body.object_kind
    account = body.project.id
    time    = body.object_attributes.updated_at
    unit    = "rfc3339"
    key     = body.object_attributes.id
  }
}
