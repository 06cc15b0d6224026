# CircleCI. Facts were checked on 2026-11-29.

webhook "circleci" {
  # circleci.com/docs/guides/integration/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "Circleci-Signature"
    prefix    = "v1="
    separator = ","
  }
  event {
    id      = body.id
    type    = body.type
    account = body.project.id
    time    = body.happened_at
    unit    = "rfc3339"
    key     = body.workflow.id
  }
}
