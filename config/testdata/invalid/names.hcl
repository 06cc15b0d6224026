# Misspelt names come with what was probably meant.
provider "a" {
  hosts   = ["a.example"]
  upsteam = "http://127.0.0.1:1" # error: Did you mean "upstream"?

  retrey {} # error: Did you mean "retry"?

  retry {
    atempts = 3 # error: Did you mean "attempts"?
  }
  timeout {
    conect = "5s" # error: Did you mean "connect"?
  }
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
