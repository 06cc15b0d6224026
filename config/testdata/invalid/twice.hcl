# One block where there can be one.
provider "a" {
  hosts = ["a.example"]
  retry {}
  retry {} # error: Duplicate retry
  limit "a" { rate = "1/s" }
  limit "a" { rate = "2/s" } # error: Duplicate limit
  limit "b" {}               # error: A limit needs rate, concurrency
  credential "bearer" { token = env("A") }
  credential "basic" { username = env("B") } # error: Duplicate credential
  timeout "all" {} # error: Extraneous label for timeout
}
