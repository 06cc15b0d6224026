provider "pusher" {
  catalog = "pusher"
  credential "hmac" {
    secret = env("PUSHER_SECRET")
    key_id = env("PUSHER_KEY")
  }
}
