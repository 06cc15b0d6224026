# Who may post.
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
