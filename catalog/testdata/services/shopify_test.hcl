test "the shop's token is asked for in JSON, and goes to the shop" {
  request {
    url     = "https://acme.myshopify.com/admin/api/2026-07/shop.json"
    account = "acme"
  }
  token { body = "{\"access_token\":\"shpat_1\",\"scope\":\"read_orders\",\"expires_in\":86399}" }
  upstream {}
  expect { status = 200 }
  assert { condition = asked[0].host == "acme.myshopify.com" && asked[0].path == "/admin/oauth/access_token" }
  assert { condition = asked[0].body == "{\"client_id\":\"client-1\",\"client_secret\":\"stand-in-for-env-SHOPIFY_SECRET\",\"grant_type\":\"client_credentials\"}" }
  assert { condition = sent[0].header["X-Shopify-Access-Token"] == "shpat_1" && sent[0].header["Authorization"] == null }
}

test "a shop's token goes to no other shop" {
  request {
    url     = "https://evil.myshopify.com/admin/api/2026-07/shop.json"
    account = "acme"
  }
  expect {
    status = 421
    code   = "host_mismatch"
  }
}
