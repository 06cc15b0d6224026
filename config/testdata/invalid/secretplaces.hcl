# A secret goes only where it is kept one.
environment = "test"

provider "a" {
  hosts = ["a.example"]
  version {
    header = "X-Version"
    pin    = env("VERSION") # error: Secret in a plain place
  }
  idempotency {
    header = "Idempotency-Key"
    key    = "${env("PREFIX")}-${request.header["X-Order-Id"]}" # error: Secret in a plain place
  }
}
