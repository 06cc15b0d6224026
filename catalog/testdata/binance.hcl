provider "binance" {
  catalog = "binance"
  credential "hmac" {
    secret = env("BINANCE_SECRET")
    key_id = env("BINANCE_KEY")
  }
}
