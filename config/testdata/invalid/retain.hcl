store {
  retain        = "60d"
  retain_bodies = "61d" # error: retain_bodies is longer than retain
}

webhook "short" {
  path = "/short"
  verify "none" {}
  horizon = "59d" # error: write a horizon that is no shorter
  event { id = body.id }
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "as_long" {
  path = "/as-long"
  verify "none" {}
  horizon = "60d"
  event { id = body.id }
  deliver { to = "http://127.0.0.1:3000/" }
}
