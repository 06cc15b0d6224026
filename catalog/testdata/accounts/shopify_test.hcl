test "a call carries the shop's token in Shopify's own header" {
  connection "shopify" { account = "acme" }
  request {
    method  = "POST"
    url     = "https://acme.myshopify.com/admin/api/2026-07/graphql.json"
    header  = { "Authorization" = "Bearer mine", "X-Shopify-Access-Token" = "shpat_mine" }
    account = "acme"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["X-Shopify-Access-Token"] == "token-of-acme" && sent[0].host == "acme.myshopify.com" && sent[0].path == "/admin/api/2026-07/graphql.json" }
}

test "an expired token is renewed at the shop, in JSON" {
  connection "shopify" {
    account = "acme"
    expired = true
  }
  token { body = "{\"access_token\":\"shpat_2\",\"scope\":\"read_orders,write_products\",\"expires_in\":3600,\"refresh_token\":\"shprt_2\",\"refresh_token_expires_in\":7776000}" }
  request {
    url     = "https://acme.myshopify.com/admin/api/2026-07/shop.json"
    account = "acme"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "acme.myshopify.com" && asked[0].path == "/admin/oauth/access_token" && asked[0].header["Content-Type"] == "application/json" }
  assert { condition = asked[0].body == "{\"client_id\":\"client-1\",\"client_secret\":\"stand-in-for-env-SHOPIFY_SECRET\",\"expiring\":\"1\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"refresh-token-of-acme\"}" }
  assert { condition = sent[0].header["X-Shopify-Access-Token"] == "shpat_2" }
}

test "the token of one shop goes to no other" {
  connection "shopify" { account = "acme" }
  request {
    url     = "https://evil.myshopify.com/admin/api/2026-07/shop.json"
    account = "acme"
  }
  expect {
    status = 421
    code   = "host_mismatch"
  }
  assert { condition = length(sent) == 0 }
}

test "a shop that has uninstalled the app needs a new connection" {
  connection "shopify" {
    account = "acme"
    expired = true
  }
  token {
    status = 400
    body   = "{\"error\":\"invalid_grant\",\"error_description\":\"The refresh token is invalid\"}"
  }
  request {
    url     = "https://acme.myshopify.com/admin/api/2026-07/shop.json"
    account = "acme"
  }
  expect {
    status = 424
    code   = "needs_connection"
  }
}
