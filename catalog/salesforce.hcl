# Salesforce's REST APIs. Facts were checked on 2026-11-29; the source stands
# beside each.

provider "salesforce" {
  # The API of an account is at its own host, which the token's answer names; that
  # has to be one of these, and the token goes to no other one. login.salesforce.com is
  # where libraries ask for tokens. Orgs without a domain of their own need more
  # hosts.
  hosts = ["*.my.salesforce.com", "login.salesforce.com"]

  endpoints = [
    "/services/data", "/services/data/{version}/query", "/services/data/{version}/limits",
    "/services/data/{version}/sobjects", "/services/data/{version}/sobjects/{object}", "/services/data/{version}/sobjects/{object}/{id}",
    "/services/data/{version}/sobjects/{object}/{field}/{value}", "/services/data/{version}/composite/**", "/services/data/{version}/jobs/**",
    "/services/apexrest/**", "/services/oauth2/**",
  ]

  # jsforce 3.10.16 sends id and secret in the body, and the bare token to revoke.
  # Answers say no lifetime: the token is good until a 401 says otherwise, and then
  # it is renewed. `scopes` has to name refresh_token (or offline_access), else there
  # is nothing to renew it with. PKCE: help.salesforce.com, xcloud.remoteaccess_pkce. A
  # sandbox has test.salesforce.com in all three URLs.
  credential "oauth2" {
    authorize_url = "https://login.salesforce.com/services/oauth2/authorize"
    token_url     = "https://login.salesforce.com/services/oauth2/token"
    revoke_url    = "https://login.salesforce.com/services/oauth2/revoke"
    base_url      = response.body.instance_url
    auth          = "post"
    revoke {
      auth   = "none"
      params = { token = "{token}" }
    }
  }

  # At the org's own host only; the account is what stands before .my.salesforce.com
  # (developer.salesforce.com/docs/atlas.en-us.262.0.chatterapi.meta/chatterapi/quickstart_connecting.htm).
  credential "oauth2_client_credentials" {
    token_url = "https://${account}.my.salesforce.com/services/oauth2/token"
    base_url  = response.body.instance_url
    auth      = "post"
  }

  # issuer is the consumer key, subject the user's name, audience the login host, not
  # the token's URL; scopes are the app's (NangoHQ/nango 2f4c0af, salesforce-jwt; not
  # looked up at Salesforce).
  credential "jwt_bearer" {
    token_url = "https://login.salesforce.com/services/oauth2/token"
    audience  = "https://login.salesforce.com"
    subject   = account
    base_url  = response.body.instance_url
  }

  # There is no idempotency key: an upsert by an external id can be repeated
  # (github.com/api-evangelist/salesforce, read 2026-11-23).
  retry {
    attempts = 4
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  # 120 s is Salesforce's own time limit for a query (own knowledge).
  timeout {
    attempt = "120s"
    total   = "150s"
  }

  # Of any 24 hours: api-usage=18/5000, other counts may follow
  # (github.com/api-evangelist/salesforce, read 2026-11-23).
  limit "daily" {
    remaining = regex("^api-usage=[0-9]+/[0-9]+", response.header["Sforce-Limit-Info"])
    refill    = split("/", regex("^api-usage=[0-9]+/[0-9]+", response.header["Sforce-Limit-Info"]))[1] / 86400
    by        = "${coalesce(account, "")} ${request.host}"
  }

  breaker {}

  # Errors are a list (the same source); the token endpoint has an object.
  error {
    code    = response.body[0].errorCode
    message = response.body[0].message
  }

  # developer.salesforce.com/docs/atlas.en-
  # us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm has the codes; not
  # looked up. What only waits for others to end is a limit; nothing was done.
  outcome "rate_limited" {
    when = response.status == 403 && response.body[0].errorCode == "REQUEST_LIMIT_EXCEEDED" && can(regex("Concurrent", response.body[0].message))
    hint = "Too many long requests at once: set concurrency in a limit, and make queries selective, so that they take less than 20 s."
  }
  outcome "rate_limited" {
    when = response.status >= 400 && response.body[0].errorCode == "UNABLE_TO_LOCK_ROW"
    hint = "Another transaction holds the record: it is sent again by itself. If it lasts, send the children of one parent one after the other."
  }
  outcome "conflict" {
    when = response.status >= 400 && (response.body[0].errorCode == "DUPLICATE_VALUE" || response.body[0].errorCode == "DUPLICATES_DETECTED")
    hint = "Such a record exists: upsert by an external id, PATCH /sobjects/TYPE/FIELD/VALUE."
  }
  outcome "forbidden" {
    when = response.status >= 400 && (response.body[0].errorCode == "API_DISABLED_FOR_ORG" || response.body[0].errorCode == "API_CURRENTLY_DISABLED")
    hint = "The org's edition or the user's profile has no API: an administrator has to enable it."
  }
  outcome "forbidden" {
    when = response.status >= 400 && (response.body[0].errorCode == "INSUFFICIENT_ACCESS_OR_READONLY" || response.body[0].errorCode == "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY")
    hint = "The user may not change this record: share it with them, or give them the permission."
  }
  outcome "validation" {
    when = response.status >= 400 && (response.body[0].errorCode == "INVALID_FIELD" || response.body[0].errorCode == "MALFORMED_QUERY")
    hint = "The object has no such field, or the user may not see it: compare with GET /sobjects/TYPE/describe as this user."
  }
  outcome "not_found" {
    when = response.status >= 400 && response.body[0].errorCode == "ENTITY_IS_DELETED"
    hint = "The record is in the recycle bin: undelete it, or make a new one."
  }
  # 24 hours of the org's calls are spent: it comes as 403
  # (github.com/api-evangelist/salesforce, read 2026-11-23).
  outcome "quota_exhausted" {
    when = response.status == 403 && response.body[0].errorCode == "REQUEST_LIMIT_EXCEEDED"
    hint = "The org's calls of 24 hours are spent: Sforce-Limit-Info says how many there are."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Salesforce refuses the session (INVALID_SESSION_ID): it has ended, and a new token is asked for."
  }
}
