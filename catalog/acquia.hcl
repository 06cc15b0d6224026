# Acquia's APIs that are signed by HTTP HMAC 2.0, such as Content Hub. Facts were
# checked on 2026-11-29; the source stands beside each (github.com/acquia/http-hmac-spec).

provider "acquia" {
  hosts = ["*.content-hub.acquia.com"]

  # "Overview of Request Header and Signature": HMAC-SHA256, keyed with the decoded
  # secret, in Base64. values.realm is the API's realm, percent-encoded.
  credential "hmac" {
    secret_encoding = "base64"
    encoding        = "base64"
    message         = "${request.method}\n${request.host}\n${request.path}\n${request.raw_query}\n${part.parameters}\n${timestamp}${part.content}"
    header = {
      X-Authorization-Timestamp      = "${timestamp}"
      X-Authorization-Content-SHA256 = "${part.sha256}"
      Authorization                  = "acquia-http-hmac realm=\"${values.realm}\",id=\"${key_id}\",nonce=\"${nonce}\",version=\"2.0\",headers=\"\",signature=\"${signature}\""
    }

    part "parameters" {
      message = "id=${key_id}&nonce=${nonce}&realm=${values.realm}&version=2.0"
    }
    part "sha256" {
      message   = request.raw_body
      algorithm = "sha256"
      encoding  = "base64"
      with_body = true
    }
    part "content" {
      message   = "\n${request.header["Content-Type"]}\n${part.sha256}"
      with_body = true
    }
  }
}
