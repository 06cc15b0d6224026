# A webhook verifies and delivers.
webhook "nothing" { # error: A verify block is required
  path = "/nothing"
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "nowhere" { # error: A deliver block is required
  path = "/nowhere"
  verify "none" {}
}
