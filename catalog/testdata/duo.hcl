provider "duo" {
  catalog = "duo"
  credential "hmac" {
    secret = env("DUO_SKEY")
    key_id = env("DUO_IKEY")
  }
}
