# Strava. Facts were checked on 2026-11-29.

webhook "strava" {
  # developers.strava.com/docs/webhooks, facts of 2026-11: events are not signed. They are
  # marked as unverified: read the latest state before anything is made of them.
  verify "none" {
    # token is the verify_token that the subscription is made with.
    handshake "subscription" {
      method    = "GET"
      when      = query["hub.mode"] == "subscribe"
      presented = query["hub.verify_token"]
      body      = { "hub.challenge" = query["hub.challenge"] }
    }
  }
  # An event has no id. Its time is in seconds, in which a thing may change twice; and what anybody can make up
  # shall not take the place of what Strava sends: it is known by its body.
  event {
    type    = "${body.object_type}.${body.aspect_type}"
    account = body.owner_id
    time    = body.event_time
    key     = body.object_id
  }
}
