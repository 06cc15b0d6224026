# Discord. Facts were checked on 2026-11-29.

webhook "discord" {
  # docs.discord.com/developers/interactions/overview and /events/webhook-events, facts
  # of 2026-11. keys is the application's public key, in hex. No tolerance is
  # documented; ours is applied. Discord tries wrong signatures and wants 401.
  verify "ed25519" {
    header    = "X-Signature-Ed25519"
    encoding  = "hex"
    timestamp = "X-Signature-Timestamp"
    message   = "${timestamp}${raw_body}"
    # An event is acknowledged by a 204 with no body, or Discord sends it again and in the end
    # stops sending (discord/discord-api-docs, docs/events/webhook-events.mdx, read 2026-11-30).
    reply { status = 204 }
    # Of webhook events, type 0 is the ping; of interactions, type 1 is.
    handshake "ping" {
      when   = body.type == 0 && body.event == null
      status = 204
    }
    handshake "interaction" {
      when = body.type == 1 && body.event == null
      body = { type = 1 }
    }
  }
  # An event has no id: it is known by its body. An interaction has.
  event {
    id      = body.id
    type    = body.event.type
    account = body.application_id
    time    = body.event.timestamp
    unit    = "rfc3339"
  }
}
