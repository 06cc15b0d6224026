# Duo's Admin, Auth and Accounts APIs. Facts were checked on 2026-11-29; the source
# stands beside each.

provider "duo" {
  hosts = ["*.duosecurity.com"]

  # duo.com/docs/adminapi#authentication: HMAC-SHA1 of date, method, host, path and the
  # parameters of query or form in order, as the password of Basic; the date as RFC
  # 2822 has it. A JSON body needs another scheme, which this is not.
  credential "hmac" {
    algorithm = "sha1"
    unit      = "EEE, DD MMM YYYY hh:mm:ss '-0000'"
    message   = "${timestamp}\n${request.method}\n${request.host}\n${request.path}\n${request.sorted_query}${request.sorted_form}"
    header    = { Date = "${timestamp}", Authorization = "Basic ${part.basic}" }

    part "basic" {
      message  = "${key_id}:${signature}"
      encoding = "base64"
    }
  }

  # duo.com/docs/adminapi#request-format
  error {
    code    = response.body.code
    message = response.body.message
  }
}
