# Clients: their tokens and what they may use.
provider "stripe" {
  hosts = ["api.stripe.com"]
}

proxy {
  client "billing" {           # error: Did you mean "stripe"?
    token     = env("TOKEN")
    providers = ["stripes"]
  }
  client "other" {
    token = "t0ken-in-the-open" # error: Secret written out
  }
}
