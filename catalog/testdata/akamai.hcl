provider "akamai" {
  catalog = "akamai"
  credential "hmac" {
    secret = env("AKAMAI_CLIENT_SECRET")
    key_id = env("AKAMAI_CLIENT_TOKEN")
    values = { access_token = env("AKAMAI_ACCESS_TOKEN") }
  }
}
