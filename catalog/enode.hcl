# Enode. Facts were checked on 2026-11-29.

webhook "enode" {
  # developers.enode.com/docs/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Enode-Signature"
    prefix    = "sha1="
    algorithm = "sha1"
  }
  event {
    split   = body
    type    = item.event
    account = item.user.id
    time    = item.createdAt
    unit    = "rfc3339"
  }
}
