provider "sinch" {
  catalog = "sinch"
  credential "hmac" {
    secret = env("SINCH_SECRET")
    key_id = env("SINCH_KEY")
  }
}
