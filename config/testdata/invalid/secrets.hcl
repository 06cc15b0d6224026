# A secret is a reference, and goes only where it is kept one.
environment = "test"

provider "a" {
  hosts = ["a.example"]
  credential "bearer" {
    token = "sk_live_0123456789" # error: Secret written out
  }
  version {
    header = "X-Version"
    pin    = env("VERSION") # error: Secret in a plain place
  }
  idempotency {
    header = "Idempotency-Key"
    key    = "${env("PREFIX")}-${request.header["X-Order-Id"]}" # error: Secret in a plain place
  }
}

provider "b" {
  hosts = ["b.example"]
  credential "bearer" { token = [] }                  # error: At least one secret
}

provider "c" {
  hosts = ["c.example"]
  credential "bearer" { token = command("vault", "read") } # error: not built yet
}

provider "d" {
  hosts = ["d.example"]
  credential "bearer" { token = expect(env("T"), "(") } # error: is not a regular expression
}

provider "e" {
  hosts = ["e.example"]
  credential "body" { fields = {} } # error: at least one field
}
