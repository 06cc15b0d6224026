provider "acquia" {
  catalog = "acquia"
  hosts   = ["example.acquiapipet.net"]
  credential "hmac" {
    secret = env("ACQUIA_SECRET")
    key_id = env("ACQUIA_ID")
    values = { realm = "Pipet%20service" }
  }
}
