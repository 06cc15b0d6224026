# monday.com. Facts were checked on 2026-11-29.

webhook "monday" {
  # developer.monday.com/apps/docs/integration-authorization, facts of 2026-11: a token of
  # the app's signing secret. Webhooks that no app has made bear none, so they are not for
  # this. The token does not cover the body.
  verify "jwt" {
    header = "Authorization"
    prefix = ""
    alg    = "HS256"
    # developer.monday.com/api-reference/reference/webhooks, facts of 2026-11; that it is
    # not signed is not verified.
    handshake "challenge" {
      signed = false
      when   = body.challenge != null && body.event == null
      body   = { challenge = body.challenge }
    }
  }
  event {
    id      = body.event.triggerUuid
    type    = body.event.type
    account = body.event.boardId
    time    = body.event.triggerTime
    unit    = "rfc3339"
    key     = body.event.pulseId
  }
}
