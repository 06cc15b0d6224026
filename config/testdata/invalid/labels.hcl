# Misspelt labels and entries of the catalogue, likewise.
provider "a" {
  hosts = ["a.example"]
  credential "berer" { # error: Did you mean "bearer"?
    token = env("T")
  }
  outcome "ratelimited" { # error: did you mean "rate_limited"?
    when = response.status == 420
  }
}

provider "b" {
  catalog = "strip" # error: Did you mean "stripe"?
}
