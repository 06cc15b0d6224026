provider "stripe" {
  catalog = "stripe"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("STRIPE_SECRET")]
    scopes        = ["read_write"]
  }
}
