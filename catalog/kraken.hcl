# Kraken's spot REST API. Facts were checked on 2026-11-29; the source stands
# beside each.

provider "kraken" {
  hosts = ["api.kraken.com"]

  # docs.kraken.com/exchange/guides/rest/authentication: HMAC-SHA512, keyed with the
  # decoded secret, of the path followed by SHA-256(nonce and body). Each nonce is
  # greater than the last: replicas that share a key need a nonce window there.
  credential "hmac" {
    secret_encoding = "base64"
    algorithm       = "sha512"
    encoding        = "base64"
    unit            = "ms"
    nonce           = "rising"
    message         = "${request.path}${part.body}"
    fields          = { nonce = "${nonce}" }
    header          = { API-Key = "${key_id}", API-Sign = "${signature}" }
    requests        = ["POST /0/private/**"]

    part "body" {
      message   = "${nonce}${request.raw_body}"
      algorithm = "sha256"
      encoding  = "raw"
    }
  }

  # docs.kraken.com/exchange/guides/general/errors: a 200 with a list of errors.
  error {
    code = response.body.error[0]
  }
  outcome "rate_limited" {
    when = response.status == 200 && can(regex("^(EAPI:Rate limit exceeded|EOrder:Rate limit exceeded|EGeneral:Temporary lockout)", response.body.error[0]))
    hint = "Kraken's counter of this key is full: wait some seconds, and call more slowly; an order's counter is of its pair."
  }
  outcome "auth" {
    when = response.status == 200 && can(regex("^EAPI:Invalid (key|signature|nonce)", response.body.error[0]))
    hint = "Kraken refuses the key, the signature or the nonce. A nonce must be greater than all before it of the same key: does something else use it?"
  }
  outcome "forbidden" {
    when = response.status == 200 && can(regex("^EGeneral:Permission denied", response.body.error[0]))
    hint = "The key lacks a permission: turn it on where the key was made."
  }
  outcome "server_error" {
    when = response.status == 200 && can(regex("^EService:", response.body.error[0]))
  }
  outcome "client_error" {
    when = response.status == 200 && response.body.error[0] != null
  }
}
