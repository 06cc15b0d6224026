# What a user writes: the catalogue entry and a key.
provider "stripe" {
  catalog = "stripe"
  credential "bearer" { token = env("STRIPE_KEY") }
}
