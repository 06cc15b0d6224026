# DocuSign Connect. Facts were checked on 2026-11-29.

webhook "docusign" {
  # One header for each active key, up to 100
  # (developers.docusign.com/platform/webhooks/connect/validate, read 2026-11-29). More than ten are
  # refused.
  verify "hmac" {
    headers  = ["X-DocuSign-Signature-*"]
    encoding = "base64"
  }
  # A message says by retryCount how often it was tried
  # (developers.docusign.com/platform/webhooks/connect/json-sim-event-model; that the rest stays as it was is
  # not verified, 2026-11-30: a repeat of which more has changed is a conflict).
  event {
    id      = "${body.data.envelopeId} ${body.event} ${body.generatedDateTime} ${coalesce(body.data.recipientId, "-")}"
    type    = body.event
    account = body.data.accountId
    time    = body.generatedDateTime
    unit    = "rfc3339"
    key     = body.data.envelopeId
    varies  = [body.retryCount]
  }
}
