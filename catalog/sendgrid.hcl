# Twilio SendGrid's Web API v3. Facts were checked on 2026-11-29; the source
# stands beside each.

provider "sendgrid" {
  # Accounts of the EU have api.eu.sendgrid.com instead
  # (github.com/api-evangelist/sendgrid, read 2026-11-23).
  hosts = ["api.sendgrid.com"]

  endpoints = [
    "/v3/mail/send", "/v3/mail/batch", "/v3/scopes",
    "/v3/marketing/contacts", "/v3/marketing/contacts/{id}", "/v3/marketing/**",
    "/v3/suppression/**", "/v3/templates", "/v3/templates/{id}", "/v3/templates/{id}/versions",
  ]

  # A key that may do no more than it has to, such as mail.send
  # (twilio.com/docs/sendgrid/ui/account-and-settings/api-keys; not looked up). Its form
  # is expect(env("SENDGRID_KEY"), "^SG\\."), own knowledge.
  credential "bearer" {}

  # There is no idempotency key: a message that may have been sent is not sent
  # again. X-RateLimit-Reset says when the next call may be made, in seconds since
  # 1970; there is no Retry-After (github.com/api-evangelist/sendgrid, read
  # 2026-11-23).
  retry {
    attempts = 4
    after    = response.header["X-RateLimit-Reset"]
    unit     = "epoch_seconds"
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "90s"
  }

  # Of each endpoint (github.com/api-evangelist/sendgrid, read 2026-11-23).
  limit "endpoint" {
    remaining = response.header["X-RateLimit-Remaining"]
    reset     = response.header["X-RateLimit-Reset"]
    unit      = "epoch_seconds"
    by        = "${coalesce(account, "")} ${request.path}"
  }

  breaker {}

  # The same source.
  error {
    code    = response.body.errors[0].field
    message = response.body.errors[0].message
  }

  # support.sendgrid.com/hc/en-us/articles/20448166598811, own knowledge: it comes as a
  # 401.
  outcome "quota_exhausted" {
    when = response.status == 401 && can(regex("Maximum credits exceeded", response.body.errors[0].message))
    hint = "The plan's messages are used up: upgrade it, or wait for the next period. The key itself is good."
  }
  # twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits;
  # not looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "The calls of this endpoint are used up: X-RateLimit-Reset says when they begin anew. Put up to 1000 recipients into one call."
  }
  outcome "validation" {
    when = response.status == 413
    hint = "The message is larger than 30 MB: link to files instead of attaching them."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "SendGrid refuses the key: it was deleted, or its value is cut off."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The key lacks the scope, or the sender is not verified: GET /v3/scopes lists what it may do."
  }
}

webhook "sendgrid" {
  provider = "sendgrid"
  # github.com/sendgrid/sendgrid-go, helpers/eventwebhook, facts of 2026-11: P-256,
  # SHA-256, DER. keys is the verification key that the settings show. A body may end
  # in CRLF, which is signed. No tolerance is documented; ours is applied.
  verify "ecdsa" {
    header    = "X-Twilio-Email-Event-Webhook-Signature"
    curve     = "P-256"
    timestamp = "X-Twilio-Email-Event-Webhook-Timestamp"
    message   = "${timestamp}${raw_body}"
  }
  # A request is a list of events (the same facts).
  event {
    split = body
    id    = item.sg_event_id
    type  = item.event
    time  = item.timestamp
    key   = item.sg_message_id
  }
}
