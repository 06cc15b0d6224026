# Microsoft Graph. Facts were checked on 2026-11-29; the source stands beside each.

provider "microsoft_graph" {
  # login.microsoftonline.com is where libraries (MSAL) ask for tokens.
  hosts = ["graph.microsoft.com", "login.microsoftonline.com"]

  endpoints = [
    "/v1.0/me", "/v1.0/me/messages", "/v1.0/me/sendMail", "/v1.0/me/events", "/v1.0/me/drive/**",
    "/v1.0/users", "/v1.0/users/{id}", "/v1.0/users/{id}/messages", "/v1.0/users/{id}/sendMail", "/v1.0/users/{id}/**",
    "/v1.0/groups", "/v1.0/groups/{id}", "/v1.0/groups/{id}/**",
    "/v1.0/sites/**", "/v1.0/drives/**", "/v1.0/teams/**", "/v1.0/subscriptions", "/v1.0/subscriptions/{id}", "/v1.0/$batch", "/beta/**",
    "/{tenant}/oauth2/v2.0/token",
  ]

  # On behalf of a user of any organisation; an app of one tenant has its id in place
  # of common. PKCE is recommended for clients with a secret, too
  # (learn.microsoft.com/entra/agent-id/agent-authorization-code-oauth-flow). `scopes` has
  # to name offline_access, else there is nothing to renew the token with. There is
  # no way to revoke one token.
  credential "oauth2" {
    authorize_url = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
    token_url     = "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    auth          = "post"
  }

  # As the application itself. The account is the tenant, by its id or domain; with one
  # tenant write it into token_url. `.default` is all that an administrator has granted
  # the app
  # (learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow). In
  # place of a secret: auth = "private_key_jwt", with key and key_id.
  credential "oauth2_client_credentials" {
    token_url = "https://login.microsoftonline.com/${account}/oauth2/v2.0/token"
    scopes    = ["https://graph.microsoft.com/.default"]
    auth      = "post"
  }

  # Calls that were refused count as well, so Retry-After is to be kept exactly
  # (learn.microsoft.com/graph/throttling, read 2026-11-23). There is no idempotency key.
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "60s"
    }
  }

  timeout {
    attempt = "60s"
    total   = "180s"
  }

  breaker {}

  # learn.microsoft.com/graph/errors; not looked up.
  error {
    code       = response.body.error.code
    message    = response.body.error.message
    request_id = response.header["request-id"]
  }

  # learn.microsoft.com/graph/throttling, looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Graph is throttling the app, the tenant or the mailbox: keep Retry-After exactly, as refused calls count; use delta queries and ask for less."
  }
  # learn.microsoft.com/entra/identity-platform/claims-challenge; not looked up.
  outcome "auth" {
    when = response.status == 401 && can(regex("insufficient_claims", response.header["WWW-Authenticate"]))
    hint = "Conditional Access demands a new sign-in: connect the account again."
  }
  # learn.microsoft.com/graph/errors; not looked up.
  outcome "not_found" {
    when = response.status == 404 && response.body.error.code == "MailboxNotEnabledForRESTAPI"
    hint = "The user has no mailbox in Exchange Online: give them a licence, or skip them."
  }
  outcome "conflict" {
    when = response.status == 409 && response.body.error.code == "nameAlreadyExists"
    hint = "A file of this name exists: say by @microsoft.graph.conflictBehavior what is to become of it."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Microsoft refuses the token (InvalidAuthenticationToken): it has expired, or was withdrawn by a change of password or policy."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The app lacks a permission, or an administrator's consent for it."
  }
}

webhook "microsoft_graph" {
  provider = "microsoft_graph"
  # learn.microsoft.com/graph/change-notifications-delivery-webhooks, facts of 2026-11.
  # secrets are the clientState of the subscriptions.
  verify "client_state" {
    # When a subscription is made or renewed its URL is asked to repeat a parameter.
    handshake "validation" {
      signed = false
      # SharePoint writes it in small letters (facts of 2026-11).
      when = coalesce(query.validationToken, query.validationtoken) != null
      body = coalesce(query.validationToken, query.validationtoken)
    }
  }
  event {
    split   = body.value
    repeat  = "1m" # a notification may say no more than that something has changed
    type    = coalesce(item.changeType, item.lifecycleEvent)
    account = item.tenantId
    key     = item.resource
  }
  # learn.microsoft.com/graph/api/resources/subscription: Get, and Update renews it; the longest time
  # depends on the resource, looked up 2026-11-29. Two days suit all but presence and the like.
  subscription {
    check   = "/v1.0/subscriptions/${params.id}"
    active  = response.status == 200
    expires = response.body.expirationDateTime
    renew {
      method = "PATCH"
      path   = "/v1.0/subscriptions/${params.id}"
      json   = { expirationDateTime = until }
      for    = "48h"
    }
  }
}
