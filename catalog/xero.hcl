# Xero's APIs. Facts were checked on 2026-11-29; the source stands beside each.

provider "xero" {
  # identity.xero.com is where libraries ask for tokens (xero-node 20.0.0).
  hosts = ["api.xero.com", "identity.xero.com"]

  endpoints = [
    "/connections", "/connections/{id}", "/connect/token",
    "/api.xro/2.0/Invoices", "/api.xro/2.0/Invoices/{id}", "/api.xro/2.0/Contacts", "/api.xro/2.0/Contacts/{id}",
    "/api.xro/2.0/Payments", "/api.xro/2.0/BankTransactions", "/api.xro/2.0/Accounts", "/api.xro/2.0/Reports/**", "/api.xro/2.0/{what}/**",
    "/payroll.xro/**", "/assets.xro/**", "/files.xro/**", "/projects.xro/**",
  ]

  # Tokens last 30 minutes; the refresh token rotates and ends after 60 days without
  # use (developer.xero.com/faq/oauth2). `scopes` has to name offline_access, else there
  # is none. Endpoints and Basic as xero-node 20.0.0 has them, from Xero's discovery
  # document; PKCE is sent by NangoHQ/nango 2f4c0af. Calls name the tenant themselves, by
  # Xero-Tenant-Id: GET /connections lists those of a token.
  credential "oauth2" {
    authorize_url = "https://login.xero.com/identity/connect/authorize"
    token_url     = "https://identity.xero.com/connect/token"
    revoke_url    = "https://identity.xero.com/connect/revocation"
  }

  # A custom connection, which is of one organisation (xero-node 20.0.0,
  # getClientCredentialsToken).
  credential "oauth2_client_credentials" {
    token_url = "https://identity.xero.com/connect/token"
  }

  # github.com/XeroAPI/xero-python/pull/124, read 2026-11-23. 128 characters at most
  # (xero-node 20.0.0). How long Xero knows a key was not found: the five minutes are ours.
  idempotency {
    header   = "Idempotency-Key"
    methods  = ["POST", "PUT", "PATCH"]
    length   = 128
    lifetime = "5m"
  }

  # Retry-After is in seconds, X-Rate-Limit-Problem says which of the limits it was
  # (developer.xero.com/faq/limits, read 2026-11-23).
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "60s"
    }
  }

  timeout {
    attempt = "60s"
    total   = "150s"
  }

  # Of each organisation: 5 calls at once, 60 a minute, 5,000 a day
  # (developer.xero.com/faq/limits, read 2026-11-29).
  limit "at once" {
    concurrency = 5
    by          = coalesce(request.header["Xero-Tenant-Id"], account)
  }
  # developer.xero.com/faq/limits, as above.
  limit "minute" {
    remaining = response.header["X-MinLimit-Remaining"]
    refill    = 1
    by        = coalesce(request.header["Xero-Tenant-Id"], account)
  }
  # developer.xero.com/faq/limits, as above.
  limit "day" {
    remaining = response.header["X-DayLimit-Remaining"]
    refill    = 5000 / 86400
    by        = coalesce(request.header["Xero-Tenant-Id"], account)
  }

  breaker {}

  # developer.xero.com/documentation/api/accounting/responsecodes; not looked up.
  error {
    code       = coalesce(response.body.Type, response.body.Title)
    message    = coalesce(response.body.Message, response.body.Detail)
    request_id = response.header["Xero-Correlation-Id"]
  }

  # developer.xero.com/faq/limits, read 2026-11-23.
  outcome "rate_limited" {
    when = response.status == 429 && response.header["X-Rate-Limit-Problem"] == "concurrent"
    hint = "Five calls at once and organisation: set concurrency in a limit."
  }
  outcome "rate_limited" {
    when = response.status == 429 && response.header["X-Rate-Limit-Problem"] == "appminute"
    hint = "The app's calls of this minute are used up, over all organisations: spread the work."
  }
  outcome "rate_limited" {
    when = response.status == 429 && response.header["X-Rate-Limit-Problem"] == "minute"
    hint = "Sixty calls a minute and organisation: send several invoices or contacts with one call."
  }
  # developer.xero.com/documentation/api/accounting/responsecodes; not looked up.
  outcome "validation" {
    when = response.status == 400 && response.body.Type == "ValidationException"
    hint = "Elements[].ValidationErrors name what is wrong: mend it, and send it with a new Idempotency-Key."
  }
  outcome "quota_exhausted" {
    when = response.status == 429 && response.header["X-Rate-Limit-Problem"] == "day"
    hint = "The organisation's calls of the day are spent."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Xero refuses the token (TokenExpired, or AuthenticationUnsuccessful)."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The token is not connected to this tenant: compare Xero-Tenant-Id with GET /connections, and the scopes."
  }
}

webhook "xero" {
  provider = "xero"
  # Intent to receive: 200 to what is rightly signed and 401 to all else, which is how every webhook is
  # answered (developer.xero.com/documentation/guides/webhooks/overview; not looked up, 2026-11-29).
  verify "hmac" {
    header   = "X-Xero-Signature"
    encoding = "base64"
    reply { quiet = true }
  }
  # An event has no id of its own.
  # A date has no zone and is in UTC (github.com/XeroAPI/Xero-OpenAPI/issues/789, read 2026-11-30).
  event {
    split   = body.events
    type    = item.eventType
    account = item.tenantId
    time    = item.eventDateUtc
    unit    = "rfc3339"
    key     = item.resourceId
  }
}
