# Trello. Facts were checked on 2026-11-29.

webhook "trello" {
  # The key is the secret of the API key; the callback URL is signed behind the body
  # (developer.atlassian.com/cloud/trello/guides/rest-api/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header    = "X-Trello-Webhook"
    algorithm = "sha1"
    encoding  = "base64"
    message   = "${raw_body}${url}"
    handshake "head" { method = "HEAD" }
  }
  event {
    id      = body.action.id
    type    = body.action.type
    account = body.model.id
    time    = body.action.date
    unit    = "rfc3339"
    key     = body.model.id
  }
}
