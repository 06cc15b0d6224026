# Typeform. Facts were checked on 2026-11-29.

webhook "typeform" {
  # typeform.com/developers/webhooks/secure-your-webhooks; not looked up, 2026-11-29.
  verify "hmac" {
    header   = "Typeform-Signature"
    prefix   = "sha256="
    encoding = "base64"
  }
  event {
    id      = body.event_id
    type    = body.event_type
    account = body.form_response.form_id
    time    = body.form_response.submitted_at
    unit    = "rfc3339"
    key     = body.form_response.token
  }
}
