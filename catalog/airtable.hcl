# Airtable's Web API. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "airtable" {
  hosts = ["api.airtable.com"]

  endpoints = [
    "/v0/meta/bases", "/v0/meta/bases/{base}/tables", "/v0/meta/whoami",
    "/v0/bases/{base}/webhooks", "/v0/bases/{base}/webhooks/{id}/payloads",
    "/v0/{base}/{table}", "/v0/{base}/{table}/{record}", "/v0/{base}/{table}/listRecords",
  ]

  # A personal access token (airtable.com/developers/web/api/authentication; not looked
  # up): expect(env("AIRTABLE_TOKEN"), "^pat").
  credential "bearer" {}

  # PKCE is required, of clients with a secret as well; they use Basic (NangoHQ/nango
  # 2f4c0af). Refresh tokens rotate and end after 60 days
  # (airtable.com/developers/web/api/oauth-reference; not looked up). No revocation is
  # documented: a user removes the app at airtable.com/account.
  credential "oauth2" {
    authorize_url = "https://airtable.com/oauth2/v1/authorize"
    token_url     = "https://airtable.com/oauth2/v1/token"
  }

  # After a 429 a base has to be left alone for 30 s
  # (airtable.com/developers/web/api/rate-limits; not looked up). There is no
  # idempotency key: an upsert (performUpsert) can be repeated.
  retry {
    attempts = 3
    backoff {
      first  = "30s"
      max    = "60s"
      jitter = "none"
    }
  }

  timeout {
    attempt = "30s"
    total   = "150s"
  }

  breaker {}

  # airtable.com/developers/web/api/errors; not looked up.
  error {
    code    = coalesce(response.body.error.type, response.body.error)
    message = response.body.error.message
  }

  # airtable.com/developers/web/api/errors and …/rate-limits; not looked up.
  outcome "quota_exhausted" {
    when = response.status == 429 && response.body.error.type == "PUBLIC_API_BILLING_LIMIT_EXCEEDED"
    hint = "The plan's calls of this month are spent: upgrade the workspace, or wait for the next month."
  }
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Five calls a second and base: the base is closed for 30 s. Write ten records with one call."
  }
  outcome "validation" {
    when = response.status == 422
    hint = "A field or value is refused; the message names it. typecast = true has texts converted."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Airtable refuses the token: it has expired, was revoked, or is not for this base."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The token lacks a scope or the base, or the user a permission (INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND)."
  }
}

webhook "airtable" {
  provider = "airtable"
  # The key is macSecretBase64 (airtable.com/developers/web/api/webhooks-overview; not looked up,
  # 2026-11-29).
  verify "hmac" {
    header          = "X-Airtable-Content-MAC"
    prefix          = "hmac-sha256="
    secret_encoding = "base64"
  }
  # A ping says that something changed: the payloads are listed by their cursor, for seven days.
  event {
    account = body.base.id
    time    = body.timestamp
    unit    = "rfc3339"
    key     = body.webhook.id
  }
  # Of a base, seven days from its making or last refresh (github.com/api-evangelist/airtable, its schema
  # of a webhook and POST .../refresh; looked up 2026-11-29).
  subscription {
    check   = "/v0/bases/${params.base}/webhooks"
    active  = length([for w in response.body.webhooks : w if w.id == params.webhook && w.areNotificationsEnabled]) > 0
    expires = try([for w in response.body.webhooks : w.expirationTime if w.id == params.webhook][0], null)
    before  = "72h"
    renew { path = "/v0/bases/${params.base}/webhooks/${params.webhook}/refresh" }
  }
  # payloads, cursor and mightHaveMore (github.com/api-evangelist/airtable, webhookpayloadlist schema;
  # looked up 2026-11-29); without a cursor the list begins with the oldest of seven days. Whether one transaction may have
  # several payloads is not verified, so a digest is in the id.
  reconcile {
    wake   = true
    list   = "/v0/bases/${params.base}/webhooks/${params.webhook}/payloads?limit=50&cursor=${coalesce(cursor, "1")}"
    events = response.body.payloads
    next   = response.body.mightHaveMore == true ? "/v0/bases/${params.base}/webhooks/${params.webhook}/payloads?limit=50&cursor=${response.body.cursor}" : null
    cursor = response.body.cursor
    event {
      id      = "${params.webhook} ${item.baseTransactionNumber} ${sha256(jsonencode(item))}"
      type    = item.actionMetadata.source
      account = params.base
      time    = item.timestamp
      key     = params.webhook
    }
  }
}
