# Where a webhook comes from, and where it goes.
provider "stripe" {
  hosts = ["api.stripe.com"]
}

webhook "path" {
  path = "no-slash" # error: must begin with a slash
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "targets" {
  path = "/targets"
  verify "none" {}
  deliver { to = "127.0.0.1:3000" } # error: must be an http or https URL
}

webhook "concurrency" {
  path = "/concurrency"
  verify "none" {}
  deliver {
    to          = "http://127.0.0.1:3000/"
    concurrency = 0 # error: between 1 and 1000
  }
}

webhook "provider" {
  path     = "/provider"
  provider = "strip" # error: Did you mean "stripe"?
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}
