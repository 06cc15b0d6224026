# Sinch's Voice, Verification and Number Lookup APIs. Facts were checked on
# 2026-11-29; the source stands beside each.

provider "sinch" {
  hosts = ["*.api.sinch.com"]

  # developers.sinch.com/docs/verification/api-reference/authentication/application-signed-request:
  # HMAC-SHA256, keyed with the decoded secret, of method, MD5 of the body,
  # Content-Type, x-timestamp and path, in Base64. Without a body there is no MD5.
  credential "hmac" {
    secret_encoding = "base64"
    encoding        = "base64"
    unit            = "rfc3339"
    message         = "${request.method}\n${part.content_md5}\n${request.header["Content-Type"]}\nx-timestamp:${timestamp}\n${request.path}"
    header          = { x-timestamp = "${timestamp}", Authorization = "Application ${key_id}:${signature}" }

    part "content_md5" {
      message   = request.raw_body
      algorithm = "md5"
      encoding  = "base64"
      with_body = true
    }
  }
}
