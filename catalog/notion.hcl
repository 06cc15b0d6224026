# Notion's API. Facts were checked on 2026-11-29; the source stands beside each.

provider "notion" {
  hosts = ["api.notion.com"]

  endpoints = [
    "/v1/blocks/{id}", "/v1/blocks/{id}/children", "/v1/comments",
    "/v1/databases", "/v1/databases/{id}", "/v1/databases/{id}/query",
    "/v1/data_sources/{id}", "/v1/data_sources/{id}/query",
    "/v1/pages", "/v1/pages/{id}", "/v1/pages/{id}/properties/{property}",
    "/v1/search", "/v1/users", "/v1/users/{id}", "/v1/oauth/{what}",
  ]

  # The secret of an internal integration (developers.notion.com/reference/authentication;
  # not looked up): expect(env("NOTION_TOKEN"), "^(ntn|secret)_").
  credential "bearer" {}

  # Basic, and JSON (@notionhq/client 5.26.0,
  # developers.notion.com/reference/revoke-token). PKCE is not in the documentation;
  # NangoHQ/nango 2f4c0af sends it, so it does no harm. There are no scopes: the
  # integration's own settings are what is granted.
  credential "oauth2" {
    authorize_url    = "https://api.notion.com/v1/oauth/authorize"
    authorize_params = { owner = "user" }
    token_url        = "https://api.notion.com/v1/oauth/token"
    revoke_url       = "https://api.notion.com/v1/oauth/revoke"
    format           = "json"
    headers          = { Notion-Version = "2025-09-03" }
    revoke {
      format  = "json"
      headers = { Notion-Version = "2025-09-03" }
      params  = { token = "{access_token}" }
    }
  }

  # The header is required (developers.notion.com/reference/revoke-token). This is the
  # version that @notionhq/client 5.26.0 sends.
  version {
    header = "Notion-Version"
    pin    = "2025-09-03"
  }

  # @notionhq/client 5.26.0: 429 and 529 whatever the method, 500 and 503 for GET
  # and DELETE; 1 s doubling to 60 s. There is no idempotency key.
  retry {
    attempts = 3
    on       = ["rate_limited", "conflict", "server_error", "timeout", "unreachable"]
    backoff {
      first = "1s"
      max   = "60s"
    }
  }

  # 60 s is the time limit of @notionhq/client 5.26.0.
  timeout {
    attempt = "60s"
    total   = "150s"
  }

  breaker {}

  # developers.notion.com/reference/status-codes; not looked up.
  error {
    code       = response.body.code
    message    = response.body.message
    request_id = response.body.request_id
  }

  # developers.notion.com/reference/status-codes, looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "About three calls a second are allowed on average: spread them, and set a limit in the policy."
  }
  outcome "conflict" {
    when = response.status == 409 && response.body.code == "conflict_error"
    hint = "Somebody else changed it at that moment: it is sent again by itself; if it lasts, change a page from one place at a time."
  }
  outcome "forbidden" {
    when = response.status == 403 && response.body.code == "restricted_resource"
    hint = "The integration lacks a capability: grant it in the integration's settings, and connect the workspace again."
  }
  outcome "validation" {
    when = response.status == 400 && response.body.code == "validation_error"
    hint = "The message names the property that is wrong: compare it with the schema of the database at the pinned version."
  }
  outcome "server_error" {
    when = response.status == 503 && response.body.code == "service_unavailable"
    hint = "Notion was not available, or took more than its 60 s: ask for less at once (page_size, filters)."
  }
  outcome "rate_limited" {
    when = response.status == 529
    hint = "Notion is overloaded: this is not your limit, wait and try again."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Notion refuses the token: it was revoked, or the integration removed from the workspace."
  }
  # 404 is also what Notion says of a page that was not shared with the integration.
  outcome "not_found" {
    when = response.status == 404 && response.body.code == "object_not_found"
    hint = "There is no such object, or it is not shared with the integration: see the page's connections."
  }
}

webhook "notion" {
  provider = "notion"
  # The key is the verification_token of the first request (developers.notion.com/reference/webhooks,
  # read 2026-11-29).
  verify "hmac" {
    header = "X-Notion-Signature"
    prefix = "sha256="
    # The first request brings the token and is not signed. It is taken into a file where the URL of
    # the webhook has the policy's token, as https://hooks.example.com/notion?guard=TOKEN; from there
    # the operator pastes it into Notion (docs/inbox.md, "Secrets that a provider gives").
    handshake "verification_token" {
      signed    = false
      when      = body.verification_token != null
      presented = query.guard
      learn     = body.verification_token
    }
  }
  # attempt_number goes from 1 to 8 (developers.notion.com/reference/webhooks-events-delivery, looked up
  # 2026-11-30).
  event {
    id      = body.id
    type    = body.type
    account = body.workspace_id
    time    = body.timestamp
    unit    = "rfc3339"
    key     = body.entity.id
    varies  = [body.attempt_number]
  }
}
