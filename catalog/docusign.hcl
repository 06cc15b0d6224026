# DocuSign Connect. Facts were checked on 2026-11-29.

webhook "docusign" {
  # One header for each active key, up to 100
  # (developers.docusign.com/platform/webhooks/connect/validate, read 2026-11-29). More than ten are
  # refused.
  verify "hmac" {
    headers  = ["X-DocuSign-Signature-*"]
    encoding = "base64"
  }
  event {
    type    = body.event
    account = body.data.accountId
    time    = body.generatedDateTime
    unit    = "rfc3339"
    key     = body.data.envelopeId
  }
}
