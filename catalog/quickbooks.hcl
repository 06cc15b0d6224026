# Intuit's QuickBooks Online Accounting API. Facts were checked on 2026-11-29; the
# source stands beside each.

provider "quickbooks" {
  # The sandbox is sandbox-quickbooks.api.intuit.com (intuit-oauth 4.2.5).
  hosts = ["quickbooks.api.intuit.com"]

  endpoints = [
    "/v3/company/{realm}/query", "/v3/company/{realm}/batch", "/v3/company/{realm}/cdc",
    "/v3/company/{realm}/companyinfo/{id}", "/v3/company/{realm}/reports/{report}",
    "/v3/company/{realm}/{entity}", "/v3/company/{realm}/{entity}/{id}", "/v3/company/{realm}/{entity}/{id}/{action}",
  ]

  # Tokens last an hour; the refresh token changes, ends after 100 days without use, and
  # after five years in any case (github.com/intuit/QuickBooks-V3-Java-SDK, release
  # 6.5.4). Basic; the revocation takes JSON (intuit-oauth 4.2.5). PKCE is not in the
  # documentation; NangoHQ/nango 2f4c0af sends it, so it does no harm. The company
  # (realmId) comes with the callback, and calls name it in their path.
  credential "oauth2" {
    authorize_url = "https://appcenter.intuit.com/connect/oauth2"
    token_url     = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
    revoke_url    = "https://developer.api.intuit.com/v2/oauth2/tokens/revoke"
    revoke {
      format = "json"
      params = { token = "{token}" }
    }
  }

  # developer.intuit.com/app/developer/qbo/docs/learn/rest-api-features, read 2026-11-23.
  idempotency {
    query   = "requestid"
    methods = ["POST"]
  }

  # A limit is waited for a minute; a request has 120 s
  # (developer.intuit.com/app/developer/qbo/docs/learn/rest-api-features#limits-and-throttles,
  # read 2026-11-23).
  retry {
    attempts = 3
    backoff {
      first = "5s"
      max   = "60s"
    }
  }

  timeout {
    attempt = "120s"
    total   = "200s"
  }

  breaker {}

  error {
    code       = response.body.Fault.Error[0].code
    message    = coalesce(response.body.Fault.Error[0].Detail, response.body.Fault.Error[0].Message)
    request_id = response.header["Intuit_tid"]
  }

  # developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes; not
  # looked up.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "500 calls a minute and company, ten at once: wait a minute, and use batches."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.Fault.Error[0].code == "5010"
    hint = "The object was changed since you read it: read it again, and send its new SyncToken."
  }
  outcome "conflict" {
    when = response.status >= 400 && response.body.Fault.Error[0].code == "6240"
    hint = "Another customer, vendor or employee has this name: look it up by a query, or choose another DisplayName."
  }
  outcome "not_found" {
    when = response.status >= 400 && response.body.Fault.Error[0].code == "610"
    hint = "There is no such object, or it was made inactive: query for it with Active IN (true, false)."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "QuickBooks refuses the token (3200): it has expired, or is of another company than the path's."
  }
  outcome "forbidden" {
    when = response.status == 403
    hint = "The app lacks a scope, or the company's subscription has ended."
  }
}

webhook "quickbooks" {
  provider = "quickbooks"
  # The key is the verifier token (developer.intuit.com/app/developer/qbo/docs/develop/webhooks; not
  # looked up, 2026-11-29).
  verify "hmac" {
    header   = "Intuit-Signature"
    encoding = "base64"
  }
  # A list of CloudEvents, which the older lists of changes by company had to make way for in 2026
  # (blogs.a.intuit.com/2025/11/12/upcoming-change-to-webhooks-payload-structure, read 2026-11-30). Both
  # are read.
  event {
    split   = body.eventNotifications == null ? body : body.eventNotifications
    nested  = item.dataChangeEvent.entities
    id      = item.id != null && item.operation == null ? item.id : null
    type    = item.type != null ? item.type : "${item.name}.${item.operation}"
    account = coalesce(item.intuitaccountid, group.realmId)
    time    = coalesce(item.time, item.lastUpdated)
    unit    = "rfc3339"
    key     = coalesce(item.intuitentityid, item.id)
  }
}
