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
  event {
    id      = "${body.object_type} ${body.object_id} ${body.aspect_type} ${body.event_time}"
    type    = "${body.object_type}.${body.aspect_type}"
    account = body.owner_id
    time    = body.event_time
    key     = body.object_id
  }
}
