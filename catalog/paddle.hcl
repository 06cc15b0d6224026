# Paddle Billing. Facts were checked on 2026-11-29.

webhook "paddle" {
  # github.com/PaddleHQ/paddle-go-sdk, webhook_verifier_test.go, whose vector it passes; its document
  # (developer.paddle.com/webhooks/signature-verification) was not looked up, 2026-11-29. The SDK
  # tolerates 5 s only.
  verify "hmac" {
    header          = "Paddle-Signature"
    separator       = ";"
    field           = "h1"
    timestamp_field = "ts"
    message         = "${timestamp}:${raw_body}"
  }
  # Each destination, and each replay, has a notification of its own of one event
  # (developer.paddle.com/api-reference/notifications, looked up 2026-11-30).
  event {
    id     = body.event_id
    type   = body.event_type
    time   = body.occurred_at
    unit   = "rfc3339"
    key    = body.data.id
    varies = [body.notification_id]
  }
  # What was sent, with its payload, of the last 90 days (glama.ai/mcp/servers/PaddleHQ/paddle-mcp-server,
  # list_notifications: from, after, per_page up to 200; developer.paddle.com: meta.pagination.next, looked
  # up 2026-11-29; has_more not verified). Several destinations have a notification each of one event:
  # they are one here.
  reconcile {
    window = "90d"
    list   = "/notifications?from=${since}&per_page=200"
    events = response.body.data
    next   = response.body.meta.pagination.has_more ? response.body.meta.pagination.next : null
    body   = item.payload
    unit   = "rfc3339"
  }
}
