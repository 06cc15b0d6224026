test "a call carries the shop's token, and asks for the pinned version" {
  request {
    method = "POST"
    url    = "https://acme.myshopify.com/admin/api/2025-01/graphql.json"
    header = { "X-Shopify-Access-Token" = "shpat_mine", "Content-Type" = "application/json" }
    body   = "{\"query\":\"{shop{name}}\"}"
  }
  upstream { header = { "X-Shopify-API-Version" = "2026-07" } }
  expect { status = 200 }
  assert { condition = sent[0].header["X-Shopify-Access-Token"] == "stand-in-for-env-SHOPIFY_TOKEN" && sent[0].header["Authorization"] == null }
  assert { condition = sent[0].path == "/admin/api/2026-07/graphql.json" && sent[0].host == "acme.myshopify.com" }
}

test "the token of one shop goes to no other" {
  request { url = "https://evil.myshopify.com/admin/api/2026-07/shop.json" }
  expect {
    status = 403
    code   = "no_provider"
  }
  assert { condition = length(sent) == 0 }
}

test "a 200 that says THROTTLED did nothing, and is done again" {
  request {
    method = "POST"
    url    = "https://acme.myshopify.com/admin/api/2026-07/graphql.json"
  }
  upstream { body = "{\"errors\":[{\"message\":\"Throttled\",\"extensions\":{\"code\":\"THROTTLED\"}}]}" }
  upstream { body = "{\"data\":{}}" }
  expect {
    status   = 200
    attempts = 2
    outcome  = "ok"
  }
}

test "the wait is until there are as many points as the query asks for" {
  request {
    method = "POST"
    url    = "https://acme.myshopify.com/admin/api/2026-07/graphql.json"
  }
  upstream {
    body = "{\"errors\":[{\"message\":\"Throttled\",\"extensions\":{\"code\":\"THROTTLED\"}}],\"extensions\":{\"cost\":{\"requestedQueryCost\":752,\"actualQueryCost\":null,\"throttleStatus\":{\"maximumAvailable\":1000.0,\"currentlyAvailable\":652,\"restoreRate\":50.0}}}}"
  }
  upstream {
    body = "{\"data\":{}}"
  }
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited == 2 }
}

test "a full bucket of REST leaks" {
  request {
    url     = "https://acme.myshopify.com/admin/api/2026-07/products.json"
    account = "acme"
  }
  upstream {
    status = 503
    header = { "X-Shopify-Shop-Api-Call-Limit" = "48/40" }
  }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
  assert { condition = waited >= 0.5 }
}
