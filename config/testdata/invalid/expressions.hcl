# Names and functions of expressions, each in its place.
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
  outcome "auth" {
    when = response.status.code == 401 # error: has nothing below it
  }
  outcome "conflict" {
    when = "yes" # error: A condition must be true or false
  }
  outcome "not_found" {
    when = starts_with(response.body.error, "no") # error: Call to unknown function
  }
}
