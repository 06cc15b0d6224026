provider "bitmex" {
  catalog = "bitmex"
  credential "hmac" {
    secret = env("BITMEX_SECRET")
    key_id = env("BITMEX_KEY")
  }
}
