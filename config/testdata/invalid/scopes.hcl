# Names of expressions, each in its place.
provider "a" {
  hosts = ["a.example"]
  idempotency {
    header = "Idempotency-Key"
    key    = response.header["X-Id"] # error: There is no response.header here
  }
  limit "a" {
    rate = "1/s"
    by   = acount # error: Did you mean account?
  }
  error {
    code    = response.body.error.code
    message = respons.body.message # error: Did you mean response.body?
  }
}
