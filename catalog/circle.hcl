# Circle, notifications of version 2. Facts were checked on 2026-11-29.

# verify "circle": developers.circle.com/api-reference/verify-webhook-signatures, looked up
# 2026-11-29. The names of an event are those of
# developers.circle.com/w3s/web3-services-notifications-quickstart; not looked up but for
# the id. The endpoint is tried by HEAD when a subscription is made
# (developers.circle.com/wallets/webhook-notifications, looked up): the policy says
# handshake "head" { method = "HEAD" }.
webhook "circle" {
  event {
    id   = body.notificationId
    type = body.notificationType
    time = body.timestamp
    unit = "rfc3339"
    key  = body.notification.id
  }
}
