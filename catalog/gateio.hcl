# Gate's API v4. Facts were checked on 2026-11-29; the source stands beside each.

provider "gateio" {
  hosts = ["api.gateio.ws"]

  # www.gate.com/docs/developers/apiv4/#authentication: HMAC-SHA512 of method, path,
  # decoded query, SHA-512 of the body and timestamp, in hexadecimal digits.
  credential "hmac" {
    algorithm = "sha512"
    message   = "${request.method}\n${request.path}\n${request.decoded_query}\n${part.body}\n${timestamp}"
    header    = { KEY = "${key_id}", Timestamp = "${timestamp}", SIGN = "${signature}" }

    part "body" {
      message   = request.raw_body
      algorithm = "sha512"
    }
  }

  # "Error Handling" of the same page.
  error {
    code    = response.body.label
    message = response.body.message
  }
}
