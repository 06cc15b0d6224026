webhook "a" {
  path = "/same"
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "b" { # error: path
  path = "/same"
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "a" { # error: There is another webhook "a"
  path = "/other"
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}
