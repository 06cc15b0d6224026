# Webhooks: who may post, what an event is, where it goes.
provider "stripe" {
  hosts = ["api.stripe.com"]
}

webhook "nothing" { # error: A verify block is required
  path = "/nothing"
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "nowhere" { # error: A deliver block is required
  path = "/nowhere"
  verify "none" {}
}

webhook "path" {
  path = "no-slash" # error: must begin with a slash
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "scheme" {
  path = "/scheme"
  verify "strip" { secrets = [env("S")] } # error: Did you mean "stripe"?
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "unbuilt" {
  path = "/unbuilt"
  verify "ed25519" {} # error: Not built yet
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "literal" {
  path = "/literal"
  verify "stripe" {
    secrets = ["whsec_0123456789"] # error: Secret written out
  }
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "targets" {
  path = "/targets"
  verify "none" {}
  deliver { to = "127.0.0.1:3000" } # error: must be an http or https URL
}

webhook "provider" {
  path     = "/provider"
  provider = "strip" # error: Did you mean "stripe"?
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "event" {
  path = "/event"
  verify "none" {}
  event {
    id   = response.body.id # error: There is no response.body here
    unit = "minutes"        # error: unknown unit
  }
  deliver {
    to          = "http://127.0.0.1:3000/"
    concurrency = 0 # error: between 1 and 1000
  }
}

webhook "order" {
  path = "/order"
  verify "none" {}
  order { mode = "lane" } # error: not built yet
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "headers" {
  path    = "/headers"
  headers = ["Authorization"] # error: cannot be kept
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}
