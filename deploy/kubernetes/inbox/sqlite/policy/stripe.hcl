webhook "stripe" {
  catalog = "stripe"
  path    = "/stripe"
  verify "stripe" { secrets = [file("/run/secrets/postern/stripe-webhook")] }
  deliver { to = "http://app.default.svc.cluster.local:3000/webhooks/stripe" }
}
