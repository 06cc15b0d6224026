# BitMEX's REST API. Facts were checked on 2026-11-29; the source stands beside
# each.

provider "bitmex" {
  hosts = ["www.bitmex.com"]

  # www.bitmex.com/app/apiKeysUsage: HMAC-SHA256 of verb, path with query, expires and
  # body, in hexadecimal digits; expires in seconds.
  credential "hmac" {
    message = "${request.method}${request.target}${expires}${request.raw_body}"
    expires = "1m"
    header  = { api-key = "${key_id}", api-expires = "${expires}", api-signature = "${signature}" }
  }

  # www.bitmex.com/app/restAPI
  error {
    code    = response.body.error.name
    message = response.body.error.message
  }
}
