provider "telesign" {
  catalog = "telesign"
  credential "hmac" {
    secret = env("TELESIGN_API_KEY")
    key_id = env("TELESIGN_CUSTOMER_ID")
  }
}
