# Bitbucket Cloud. Facts were checked on 2026-11-29.

webhook "bitbucket" {
  headers = ["X-Event-Key", "X-Hook-UUID", "X-Request-UUID", "X-Attempt-Number"]
  # support.atlassian.com/bitbucket-cloud/docs/manage-webhooks, whose vector it passes; not looked up,
  # 2026-11-29. Without a secret there is no signature.
  verify "hmac" {
    header = "X-Hub-Signature"
    prefix = "sha256="
  }
  # The id and the type are not signed.
  event {
    id      = header["X-Request-UUID"]
    type    = header["X-Event-Key"]
    account = body.repository.uuid
    key     = body.repository.uuid
  }
}
