# Asana. Facts were checked on 2026-11-29.

webhook "asana" {
  # The key is the X-Hook-Secret of the handshake (developers.asana.com/docs/webhooks-guide, read
  # 2026-11-29).
  verify "hmac" {
    header = "X-Hook-Signature"
    # Each webhook has a secret of its own and so needs a path of its own. Asana sends the secret
    # while the webhook is made; it is taken into a file where the target of the webhook has the
    # policy's token, as https://hooks.example.com/asana?guard=TOKEN (docs/inbox.md, "Secrets that a
    # provider gives").
    handshake "secret" {
      signed    = false
      when      = header["X-Hook-Secret"] != null
      presented = query.guard
      learn     = header["X-Hook-Secret"]
      header    = { X-Hook-Secret = header["X-Hook-Secret"] }
    }
  }
  # Without events it is a heartbeat. Delivery is at most once (the same guide).
  event {
    split = body.events
    type  = item.action
    time  = item.created_at
    unit  = "rfc3339"
    key   = item.resource.gid
  }
}
