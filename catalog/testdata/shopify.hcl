provider "shopify" {
  catalog = "shopify"
  hosts   = ["acme.myshopify.com"]
  credential "header" { value = env("SHOPIFY_TOKEN") }
}
