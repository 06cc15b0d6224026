# Jira and Confluence in Atlassian's cloud. Facts were checked on 2026-11-29; the
# source stands beside each.

provider "atlassian" {
  # What was granted by OAuth is called at /ex/jira/{cloudid} of this host
  # (developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps). With an API token
  # write the site: hosts = ["acme.atlassian.net"].
  hosts = ["api.atlassian.com"]

  endpoints = [
    "/oauth/token/accessible-resources", "/me",
    "/ex/jira/{cloudid}/rest/api/3/issue", "/ex/jira/{cloudid}/rest/api/3/issue/{key}", "/ex/jira/{cloudid}/rest/api/3/issue/{key}/**",
    "/ex/jira/{cloudid}/rest/api/3/search/jql", "/ex/jira/{cloudid}/rest/**", "/ex/confluence/{cloudid}/**",
    "/rest/api/3/issue", "/rest/api/3/issue/{key}", "/rest/api/3/search/jql", "/rest/**", "/wiki/**",
  ]

  # The user's address and an API token
  # (developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis; not looked up):
  # username = "me@example.com".
  credential "basic" {}

  # JSON, with id and secret in it; refresh tokens rotate, and one that was used or is
  # 90 days old is refused with 403
  # (developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens). `scopes` has
  # to name offline_access, else there is none. No revocation is documented: a user
  # removes the app at id.atlassian.com/manage-profile/apps.
  credential "oauth2" {
    authorize_url    = "https://auth.atlassian.com/authorize"
    authorize_params = { audience = "api.atlassian.com", prompt = "consent" }
    token_url        = "https://auth.atlassian.com/oauth/token"
    auth             = "post"
    format           = "json"
  }

  # Retry-After is in seconds; RateLimit-Reason says which of three limits it was
  # (developer.atlassian.com/cloud/jira/platform/rate-limiting, read 2026-11-23). There
  # is no idempotency key.
  retry {
    attempts = 5
    # In ISO 8601 (developer.atlassian.com/cloud/jira/platform/rate-limiting, read
    # 2026-11-23).
    after = response.header["X-RateLimit-Reset"]
    unit  = "rfc3339"
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  breaker {}

  error {
    code       = coalesce(response.header["RateLimit-Reason"], response.body.code)
    message    = coalesce(response.body.errorMessages[0], response.body.message)
    request_id = response.header["Atl-Traceid"]
  }

  # developer.atlassian.com/cloud/jira/platform/rate-limiting, read 2026-11-23.
  outcome "rate_limited" {
    when = response.status == 429 && can(regex("quota", response.header["RateLimit-Reason"]))
    hint = "The app's points of this hour are used up: X-RateLimit-Reset says when they begin anew. Ask for fewer fields and objects."
  }
  outcome "rate_limited" {
    when = response.status == 429 && can(regex("per-issue", response.header["RateLimit-Reason"]))
    hint = "Too many changes of one issue: put them together, and leave that issue alone for a while."
  }
  outcome "rate_limited" {
    when = response.status == 429
    hint = "Too many calls in this second, to one endpoint of one site: spread them."
  }
  # developer.atlassian.com/cloud/jira/platform/rest/v3/intro#status-codes; not looked
  # up.
  outcome "not_found" {
    when = response.status == 404
    hint = "There is no such thing, or the user may not see it: check the cloud id in the path, and the permission to browse the project."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Atlassian refuses the token: it has expired, or is of another site or product."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The app lacks a scope, or the user a permission on this project or space."
  }
}
