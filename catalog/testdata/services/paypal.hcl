provider "paypal" {
  catalog = "paypal"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("PAYPAL_SECRET"), env("PAYPAL_SECRET_BEFORE")]
  }
}
