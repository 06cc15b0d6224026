# Telesign's REST APIs. Facts were checked on 2026-11-29; the source stands beside
# each (github.com/TeleSign/python_telesign, telesign/rest.py).

provider "telesign" {
  hosts = ["rest-api.telesign.com", "rest-ww.telesign.com"]

  # generate_telesign_headers: HMAC-SHA256, keyed with the decoded key, of method,
  # Content-Type, date, x-ts- headers, the body if there is one, and path, in Base64.
  # key_id is the customer id, secret the API key.
  credential "hmac" {
    secret_encoding = "base64"
    encoding        = "base64"
    unit            = "http_date"
    message         = "${request.method}\n${request.header["Content-Type"]}\n${timestamp}\nx-ts-auth-method:HMAC-SHA256\nx-ts-nonce:${nonce}${part.body}\n${request.path}"
    header = {
      Date             = "${timestamp}"
      x-ts-auth-method = "HMAC-SHA256"
      x-ts-nonce       = "${nonce}"
      Authorization    = "TSA ${key_id}:${signature}"
    }

    part "body" {
      message   = "\n${request.raw_body}"
      with_body = true
    }
  }
}
