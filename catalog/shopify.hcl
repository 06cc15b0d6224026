# Shopify's Admin API. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "shopify" {
  # The account is the shop: `acme` of acme.myshopify.com. With a key of one shop,
  # write its host: hosts = ["acme.myshopify.com"].
  hosts = ["*.myshopify.com"]

  endpoints = [
    "/admin/api/{version}/graphql.json",
    "/admin/api/{version}/{resource}", "/admin/api/{version}/{resource}/**",
    "/admin/oauth/access_token", "/admin/oauth/access_scopes.json",
  ]

  # A token of one shop's custom app: expect(env("SHOPIFY_TOKEN"), "^shpat_")
  # (shopify.dev/docs/apps/build/authentication-authorization/access-tokens).
  credential "header" { name = "X-Shopify-Access-Token" }

  # Offline tokens that last an hour, with a refresh token that rotates. Public apps
  # have to use them from 2027-01-01; params = {} asks for tokens without an end
  # (shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens).
  # @shopify/shopify-api 13.1.0 sends JSON with id and secret in it. PKCE is not in the
  # documentation; NangoHQ/nango 2f4c0af sends it, so it does no harm. To revoke is to
  # uninstall the app (github.com/Shopify/shopify_python_api, ApiPermission; not looked
  # up at Shopify).
  credential "oauth2" {
    authorize_url = "https://${account}.myshopify.com/admin/oauth/authorize"
    token_url     = "https://${account}.myshopify.com/admin/oauth/access_token"
    base_url      = "https://${account}.myshopify.com"
    revoke_url    = "https://${account}.myshopify.com/admin/api_permissions/current.json"
    auth          = "post"
    format        = "json"
    params        = { expiring = "1" }
    header        = "X-Shopify-Access-Token"
    scheme        = ""
    # in the answer and the link scopes are separated by commas
    scope_separator = ","
    revoke {
      method  = "DELETE"
      auth    = "none"
      headers = { X-Shopify-Access-Token = "{access_token}" }
      gone    = [401]
    }
  }

  # For apps of the shop's own organisation (@shopify/shopify-api 13.1.0,
  # client-credentials.js).
  credential "oauth2_client_credentials" {
    token_url = "https://${account}.myshopify.com/admin/oauth/access_token"
    base_url  = "https://${account}.myshopify.com"
    auth      = "post"
    format    = "json"
    header    = "X-Shopify-Access-Token"
    scheme    = ""
  }

  # A version of a past quarter is answered by the oldest that is still supported,
  # without a word but this header (shopify.dev/docs/api/usage/versioning, read
  # 2026-11-23).
  version {
    path = "admin/api/{version}"
    pin  = "2026-07"
    echo = response.header["X-Shopify-API-Version"]
  }

  # There is no idempotency header; GraphQL has the directive @idempotent
  # (shopify.dev/changelog, read 2026-11-23).
  retry {
    attempts = 4
    # Until there are as many points as the query asks for
    # (shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits, looked up).
    after = (response.body.extensions.cost.requestedQueryCost - response.body.extensions.cost.throttleStatus.currentlyAvailable) / response.body.extensions.cost.throttleStatus.restoreRate
    unit  = "delta_seconds"
    backoff {
      first = "1s"
      max   = "30s"
    }
  }

  timeout {
    attempt = "30s"
    total   = "120s"
  }

  # A leaky bucket of each shop, of REST's requests and of GraphQL's points; REST's
  # leaks at least 2 a second (shopify.dev/docs/api/usage/limits, read 2026-11-23).
  limit "rest" {
    remaining = response.header["X-Shopify-Shop-Api-Call-Limit"]
    refill    = 2
    by        = "${request.host} ${endswith(request.path, "/graphql.json") ? "graphql" : "rest"}"
  }
  # shopify.dev/docs/api/usage/limits, as above.
  limit "graphql" {
    remaining = response.body.extensions.cost.throttleStatus.currentlyAvailable
    refill    = response.body.extensions.cost.throttleStatus.restoreRate
    cost      = response.body.extensions.cost.actualQueryCost
    by        = "${request.host} ${endswith(request.path, "/graphql.json") ? "graphql" : "rest"}"
  }

  breaker {}

  error {
    code       = coalesce(response.body.errors[0].extensions.code, response.body.error)
    message    = coalesce(response.body.errors[0].message, response.body.errors, response.body.error_description)
    request_id = response.header["X-Request-Id"]
  }

  # shopify.dev/docs/api/usage/response-codes; not looked up.
  outcome "validation" {
    when = response.status == 200 && response.body.errors[0].extensions.code == "MAX_COST_EXCEEDED"
    hint = "The query costs more than 1000 points: ask for fewer nested items at once, or use a bulk operation."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.errors[0].extensions.code == "SHOP_INACTIVE"
    hint = "The shop is closed or frozen: stop calling until the merchant has opened it again."
  }
  outcome "forbidden" {
    when = response.status == 402
    hint = "The shop is frozen: the merchant has to pay Shopify first."
  }
  outcome "forbidden" {
    when = response.status == 423
    hint = "The shop is locked, by its limits or by Shopify: the merchant has to ask Shopify."
  }
  outcome "forbidden" {
    when = response.status == 430
    hint = "Shopify took the calls for an attack and refuses them: call more slowly and more evenly, and ask its support."
  }
  # A POST of GraphQL that may have changed something is not sent again.
  outcome "server_error" {
    when = response.status == 200 && response.body.errors[0].extensions.code == "INTERNAL_SERVER_ERROR"
    hint = "Shopify failed: look whether the mutation was done, and give its support the requestId."
  }
  # shopify.dev/docs/api/usage/limits, read 2026-11-23.
  outcome "rate_limited" {
    when = response.status == 429
    hint = "The app's calls of this shop are used up: X-Shopify-Shop-Api-Call-Limit says how many there are; GraphQL costs less."
  }
  # GraphQL says 200 and THROTTLED (shopify.dev/docs/api/usage/limits, read 2026-11-23).
  outcome "rate_limited" {
    when = response.status == 200 && response.body.errors[0].extensions.code == "THROTTLED"
    hint = "The app's points of this shop are used up: ask for less at once; extensions.cost says what a query costs and how fast points come back."
  }
  outcome "auth" {
    when = response.status == 401
    hint = "Shopify refuses the token: the app was uninstalled, its secret revoked, or the token has expired."
  }
  outcome "forbidden" {
    when = response.status == 200 && response.body.errors[0].extensions.code == "ACCESS_DENIED"
    hint = "The app lacks an access scope: the message names it."
  }
  # GraphQL says 200 when it means no.
  outcome "client_error" {
    when = response.status == 200 && response.body.errors[0] != null && response.body.data == null
    hint = "GraphQL refused the query: the message says why; compare it with the schema of the pinned version."
  }
}

webhook "shopify" {
  provider = "shopify"
  headers  = ["X-Shopify-Topic", "X-Shopify-Shop-Domain", "X-Shopify-Webhook-Id", "X-Shopify-Event-Id", "X-Shopify-Triggered-At", "X-Shopify-API-Version"]
  # The key is the client secret of the app (shopify.dev/docs/apps/build/webhooks/subscribe/https; by
  # the vector of bold-commerce/go-shopify; not looked up, 2026-11-29). The shop stands in a header,
  # which is not signed: give each shop a path of its own if it matters whose event it is.
  verify "hmac" {
    header   = "X-Shopify-Hmac-Sha256"
    encoding = "base64"
  }
  # Neither id nor type are signed. The id is that of what the merchant did, of which several topics may tell
  # (that it is the same for all subscriptions: shopify.dev/apps/build/webhooks/ignore-duplicates, looked up
  # 2026-11-30).
  event {
    id   = "${header["X-Shopify-Event-Id"]} ${header["X-Shopify-Topic"]}"
    type = header["X-Shopify-Topic"]
    time = body.updated_at
    unit = "rfc3339"
    key  = body.id
  }
  # The subscriptions that this app has made by the API, not those of the shop's admin
  # (shopify.dev/api/admin-rest/latest/resources/webhook, looked up 2026-11-29; REST is legacy there). One
  # whose deliveries fail eight times in a row is deleted. There is no list of events.
  subscription {
    check  = "/admin/api/2026-10/webhooks.json?limit=250"
    host   = params.shop
    active = length([for w in response.body.webhooks : w if w.address == params.address]) > 0
  }
}
