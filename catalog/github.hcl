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
    backoff {
      first = "1s"
      max   = "1m"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  breaker {}

  error {
    code       = response.body.errors[0].code
    message    = response.body.message
    request_id = response.header["X-GitHub-Request-Id"]
  }

  # Primary and secondary limits are 403 or 429; the headers tell them from a
  # refusal (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
  outcome "rate_limited" {
    when = response.status == 403 && (response.header["X-RateLimit-Remaining"] == "0" || response.header["Retry-After"] != null || can(regex("secondary rate limit", response.body.message)))
    hint = "GitHub's limit is reached: wait for Retry-After or X-RateLimit-Reset. Persisting gets an integration banned."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "GitHub refuses the token: it is wrong, expired or revoked."
  }
}

webhook "github" {
  provider = "github"
  headers  = ["X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-ID", "X-GitHub-Hook-Installation-Target-ID", "X-GitHub-Hook-Installation-Target-Type"]
  # The event "installation", by its body, because its name is not signed: others have
  # of the installation no more than id and node_id (github.com/github/rest-api-description:
  # webhook-installation-deleted; simple-installation not verified, 2026-11-29).
  revoked_by = body.action == "deleted" && body.installation.app_id != null
  # The id is the same when a delivery is sent again by hand. It is not signed:
  # another body under the same id is a conflict.
  event {
    id      = header["X-GitHub-Delivery"]
    type    = header["X-GitHub-Event"]
    account = body.installation.id
    key     = body.repository.id
  }
}
