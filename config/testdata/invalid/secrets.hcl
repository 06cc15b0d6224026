# A secret is a reference to what can be read.
provider "a" {
  hosts = ["a.example"]
  credential "bearer" {
    token = "sk_live_0123456789" # error: Secret written out
  }
}

provider "b" {
  hosts = ["b.example"]
  credential "bearer" { token = [] } # error: At least one secret
}

provider "c" {
  hosts = ["c.example"]
  credential "bearer" { token = command("vault", "read") } # error: not built yet
}

provider "d" {
  hosts = ["d.example"]
  credential "bearer" { token = expect(env("T"), "(") } # error: is not a regular expression
}
