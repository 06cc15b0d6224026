# What an event is, and what is kept of it.
webhook "event" {
  path = "/event"
  verify "none" {}
  event {
    id   = response.body.id # error: There is no response.body here
    unit = "minutes"        # error: unknown unit
  }
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "order" {
  path = "/order"
  verify "none" {}
  order { mode = "lane" } # error: say by key in the event block
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "headers" {
  path    = "/headers"
  headers = ["Authorization"] # error: cannot be kept
  verify "none" {}
  deliver { to = "http://127.0.0.1:3000/" }
}
