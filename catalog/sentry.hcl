# Sentry integrations. Facts were checked on 2026-11-29.

webhook "sentry" {
  headers = ["Sentry-Hook-Resource", "Sentry-Hook-Timestamp", "Request-ID"]
  # The key is the client secret
  # (docs.sentry.io/organization/integrations/integration-platform/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header = "Sentry-Hook-Signature"
  }
  # The id and the type are not signed.
  event {
    id      = header["Request-ID"]
    type    = header["Sentry-Hook-Resource"]
    account = body.installation.uuid
  }
}
