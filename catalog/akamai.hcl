# Akamai's OPEN APIs. Facts were checked on 2026-11-29; the source stands beside each
# (github.com/akamai/AkamaiOPEN-edgegrid-python, akamai/edgegrid/edgegrid.py).

provider "akamai" {
  hosts = ["*.luna.akamaiapis.net"]

  # EdgeGrid: HMAC-SHA256, keyed with the HMAC of the timestamp in Base64, of method,
  # scheme, host, path with query, no headers, SHA-256 of the first 128 KiB of the
  # body of a POST, and the header up to its signature, by tabs, in Base64. key_id is
  # the client_token, secret the client_secret.
  credential "hmac" {
    encoding = "base64"
    unit     = "YYYYMMDD'T'hh:mm:ssZZZZ"
    key      = part.key
    message  = "${request.method}\thttps\t${request.host}\t${request.target}\t\t${part.body}\t${part.header}"
    header   = { Authorization = "${part.header}signature=${signature}" }

    part "key" {
      message   = timestamp
      algorithm = "sha256"
      key       = secret
      encoding  = "base64"
    }
    part "body" {
      message   = request.raw_body
      algorithm = "sha256"
      encoding  = "base64"
      methods   = ["POST"]
      with_body = true
      most      = "128KiB"
    }
    part "header" {
      message = "EG1-HMAC-SHA256 client_token=${key_id};access_token=${values.access_token};timestamp=${timestamp};nonce=${nonce};"
    }
  }

  # techdocs.akamai.com/developer/docs/errors: problem details (RFC 9457).
  error {
    code    = response.body.type
    message = response.body.detail
  }
}
