# Who may post.
webhook "scheme" {
  path = "/scheme"
  verify "strip" { secrets = [env("S")] } # error: Did you mean "stripe"?
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "keyless" {
  path = "/keyless"
  verify "ed25519" { header = "X" } # error: argument "keys" is required
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "literal" {
  path = "/literal"
  verify "stripe" {
    secrets = ["whsec_0123456789"] # error: Secret written out
  }
  deliver { to = "http://127.0.0.1:3000/" }
}
