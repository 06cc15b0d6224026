provider "shopify" {
  catalog = "shopify"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("SHOPIFY_SECRET")]
  }
}
