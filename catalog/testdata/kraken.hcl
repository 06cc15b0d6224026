provider "kraken" {
  catalog = "kraken"
  credential "hmac" {
    secret = env("KRAKEN_SECRET")
    key_id = env("KRAKEN_KEY")
  }
}
