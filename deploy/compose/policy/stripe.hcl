provider "stripe" {
  catalog = "stripe"
  credential "bearer" { token = file("/run/secrets/stripe") }
}

webhook "stripe" {
  catalog = "stripe"
  path    = "/stripe"
  verify "stripe" { secrets = [file("/run/secrets/stripe-webhook")] }
  deliver { to = "http://app:3000/webhooks/stripe" }
}
