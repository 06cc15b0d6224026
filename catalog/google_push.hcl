# Google push notifications: Calendar, Drive. Facts were checked on 2026-11-29.

webhook "google_push" {
  headers = ["X-Goog-Channel-Id", "X-Goog-Message-Number", "X-Goog-Resource-State", "X-Goog-Resource-Id", "X-Goog-Resource-Uri", "X-Goog-Changed"]
  # The token of the watch request (developers.google.com/workspace/calendar/api/guides/push; not looked
  # up, 2026-11-29).
  verify "token" {
    header = "X-Goog-Channel-Token"
    # The first message says that the channel is there (the same source).
    handshake "sync" { when = header["X-Goog-Resource-State"] == "sync" }
  }
  # The body is empty: something changed, and a list tells what.
  event {
    id   = "${header["X-Goog-Channel-Id"]} ${header["X-Goog-Message-Number"]}"
    type = header["X-Goog-Resource-State"]
    key  = header["X-Goog-Resource-Id"]
  }
}
