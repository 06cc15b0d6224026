provider "shopify" {
  catalog = "shopify"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("SHOPIFY_SECRET")]
    scopes        = ["read_orders", "write_products"]
  }
}
