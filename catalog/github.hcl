# GitHub's REST API. Facts were checked on 2026-11-29; the source stands beside each.

provider "github" {
  hosts = ["api.github.com"]

  endpoints = [
    "/graphql", "/rate_limit", "/user", "/user/repos",
    "/app/installations/{id}/access_tokens",
    "/orgs/{org}", "/orgs/{org}/**",
    "/repos/{owner}/{repo}",
    "/repos/{owner}/{repo}/commits", "/repos/{owner}/{repo}/contents/**",
    "/repos/{owner}/{repo}/issues", "/repos/{owner}/{repo}/issues/{number}", "/repos/{owner}/{repo}/issues/{number}/comments",
    "/repos/{owner}/{repo}/pulls", "/repos/{owner}/{repo}/pulls/{number}",
    "/repos/{owner}/{repo}/statuses/{sha}", "/repos/{owner}/{repo}/**",
    "/search/{what}", "/users/{user}", "/users/{user}/**",
  ]

  # A token of a person, best a fine-grained one
  # (docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens):
  # expect(env("GITHUB_TOKEN"), "^github_pat_").
  credential "bearer" {}

  # The token of an App's installation, for an hour; installation_id = account where
  # each account is one
  # (docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app).
  credential "github_app" {}

  # On behalf of a person, for an OAuth app or a GitHub App, whose tokens last eight
  # hours and whose refresh tokens rotate
  # (docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps). PKCE since
  # 2025-07-14 (github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication).
  # To revoke as @octokit/oauth-methods 6.0.5 does (delete-token.js).
  credential "oauth2" {
    authorize_url = "https://github.com/login/oauth/authorize"
    token_url     = "https://github.com/login/oauth/access_token"
    revoke_url    = "https://api.github.com/applications/{client_id}/token"
    auth          = "post"
    revoke {
      method  = "DELETE"
      auth    = "basic"
      format  = "json"
      headers = { X-GitHub-Api-Version = "2022-11-28" }
      params  = { access_token = "{access_token}" }
      gone    = [404]
    }
  }

  # docs.github.com/rest/about-the-rest-api/api-versions
  version {
    header = "X-GitHub-Api-Version"
    pin    = "2022-11-28"
    echo   = response.header["X-GitHub-Api-Version-Selected"]
  }

  # There is no idempotency key: only what was not sent, refused, or idempotent
  # by its method is sent again (plugin-retry 8.1.1 makes 3 tries).
  retry {
    attempts = 4
    # The primary limit says when the hour begins anew; a secondary one without
    # Retry-After wants a minute at least (the page of the limits below).
    after = response.header["X-RateLimit-Remaining"] == "0" ? response.header["X-RateLimit-Reset"] : "PT1M"
    unit  = "epoch_seconds"
    backoff {
      first = "1s"
      max   = "1m"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  # A published release has a tag of its own: GitHub refuses a second one
  # (docs.github.com/rest/releases/releases: "Get a release by tag name", "a published
  # release with the specified tag"; POST gives 201 and the same object). Several
  # drafts may have the same tag, and none is found by it: they are not looked up.
  route "POST /repos/{owner}/{repo}/releases" {
    reconcile {
      get    = "/repos/${split("/", request.path)[2]}/${split("/", request.path)[3]}/releases/tags/${request.body.draft == true ? null : request.body.tag_name}"
      found  = response.status == 200
      status = 201
    }
  }

  # What is left of the hour, for each resource apart
  # (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, read 2026-11-23;
  # the resources: docs.github.com/rest/rate-limit). Which one a call counts in, its path says.
  limit "hourly" {
    remaining = response.header["X-RateLimit-Remaining"]
    reset     = response.header["X-RateLimit-Reset"]
    unit      = "epoch_seconds"
    by        = "${coalesce(account, "")} ${request.path == "/graphql" ? "graphql" : startswith(request.path, "/search/code") ? "code_search" : startswith(request.path, "/search/") ? "search" : "core"}"
  }

  breaker {}

  error {
    code       = response.body.errors[0].code
    message    = response.body.message
    request_id = response.header["X-GitHub-Request-Id"]
  }

  # docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, read
  # 2026-11-23.
  outcome "rate_limited" {
    when = (response.status == 403 || response.status == 429) && can(regex("secondary rate limit|abuse detection", response.body.message))
    hint = "GitHub's secondary limit: make fewer calls at once and at most one write a second; wait for Retry-After, or at least a minute. Persisting gets an integration banned."
  }
  outcome "rate_limited" {
    when = (response.status == 403 || response.status == 429) && response.header["X-RateLimit-Remaining"] == "0"
    hint = "The hour's calls are used up: X-RateLimit-Reset says when they begin anew. Conditional requests cost nothing, and an App's installation has calls of its own."
  }
  # docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api;
  # not looked up.
  outcome "rate_limited" {
    when = response.status == 200 && (response.body.errors[0].type == "RATE_LIMITED" || response.body.errors[0].type == "RATE_LIMIT")
    hint = "The hour's points of GraphQL are used up: ask for fewer nodes, and see rateLimit { remaining resetAt }."
  }
  # GraphQL says 200 when it means no (docs.github.com/graphql; not looked up).
  outcome "forbidden" {
    when = response.status == 200 && request.path == "/graphql" && (response.body.errors[0].type == "FORBIDDEN" || response.body.errors[0].type == "INSUFFICIENT_SCOPES")
    hint = "The token lacks a scope or permission for this field: the message names it."
  }
  outcome "not_found" {
    when = response.status == 200 && request.path == "/graphql" && response.body.errors[0].type == "NOT_FOUND"
    hint = "One of the objects does not exist, or the token may not see it: path says which; the others may be in data."
  }
  outcome "client_error" {
    when = response.status == 200 && request.path == "/graphql" && response.body.errors[0] != null && response.body.data == null
    hint = "GraphQL refused the query: the message says why, its locations say where."
  }
  # docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api; not looked up.
  outcome "forbidden" {
    when = response.status == 403 && response.header["X-GitHub-SSO"] != null
    hint = "The organization demands SAML single sign-on: authorize the token for it by the link in X-GitHub-SSO."
  }
  outcome "forbidden" {
    when = response.status == 403 && can(regex("^Resource not accessible by", response.body.message))
    hint = "The App or token lacks a permission: X-Accepted-GitHub-Permissions names it. Grant it, and have the installation accept the change."
  }
  outcome "conflict" {
    when = response.status == 422 && response.body.errors[0].code == "already_exists"
    hint = "It exists already: look it up and update it."
  }
  outcome "not_found" {
    when = response.status == 404
    hint = "There is no such thing, or the token may not see it: GitHub says 404 of what is private, too."
  }
  # Primary and secondary limits are 403 or 429; the headers tell them from a
  # refusal (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
  outcome "rate_limited" {
    when = response.status == 403 && response.header["Retry-After"] != null
    hint = "GitHub's limit is reached: wait for Retry-After. Persisting gets an integration banned."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "GitHub refuses the token: it is wrong, expired or revoked."
  }
}

webhook "github" {
  provider = "github"
  headers  = ["X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-GitHub-Hook-Installation-Target-ID", "X-GitHub-Hook-Installation-Target-Type"]
  # docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, 2026-11.
  # No header but the signature is covered, and there is no timestamp.
  verify "hmac" {
    header = "X-Hub-Signature-256"
    prefix = "sha256="
  }
  # The event "installation", by its body, because its name is not signed: others have
  # of the installation no more than id and node_id (github.com/github/rest-api-description:
  # webhook-installation-deleted; simple-installation not verified, 2026-11-29).
  revoked_by = coalesce(body.action, body.payload.action) == "deleted" && coalesce(body.installation.app_id, body.payload.installation.app_id) != null
  # The id is the same when a delivery is sent again by hand. It is not signed:
  # another body under the same id is a conflict.
  event {
    id      = header["X-GitHub-Delivery"]
    type    = header["X-GitHub-Event"]
    account = coalesce(body.installation.id, body.payload.installation.id)
    key     = coalesce(body.repository.id, body.payload.repository.id)
  }
  # The deliveries of a repository's hook, the newest first, without bodies, which are those of one
  # delivery (docs.github.com/rest/webhooks/repo-deliveries, looked up 2026-11-29; kept for 3 days, not
  # verified). The token needs to read the hooks. For an organization write list and get with
  # /orgs/${params.org}/hooks/.
  reconcile {
    window = "72h"
    list   = "/repos/${params.owner}/${params.repo}/hooks/${params.hook}/deliveries?per_page=100"
    events = response.body
    next   = try(regex("<([^>]+)>; *rel=\"next\"", response.header["Link"])[0], null)
    get    = "/repos/${params.owner}/${params.repo}/hooks/${params.hook}/deliveries/${item.id}"
    body   = response.body.request.payload
    event {
      id      = item.guid
      type    = item.event
      account = item.installation_id
      time    = item.delivered_at
      header = {
        X-GitHub-Delivery = item.guid
        X-GitHub-Event    = item.event
        X-GitHub-Hook-ID  = params.hook
      }
    }
  }
}
