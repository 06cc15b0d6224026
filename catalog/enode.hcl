# Enode. Facts were checked on 2026-11-29.

webhook "enode" {
  # developers.enode.com/docs/webhooks; not looked up at the provider, 2026-11-29.
  verify "hmac" {
    header    = "X-Enode-Signature"
    prefix    = "sha1="
    algorithm = "sha1"
  }
  event {
    type    = body[0].event
    account = body[0].user.id
    time    = body[0].createdAt
    unit    = "rfc3339"
  }
}
