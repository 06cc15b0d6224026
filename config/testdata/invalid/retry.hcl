# Retries that make no sense.
provider "a" {
  hosts = ["a.example"]
  retry {
    backoff {
      first = "10s"
      max   = "1s" # error: is less than first
    }
  }
}

provider "b" {
  hosts = ["b.example"]
  retry {
    attempts = 2
    on       = ["ok"] # error: is never retried
  }
}

provider "c" {
  hosts = ["c.example"]
  retry { attempts = 21 } # error: is not between 1 and 20
}
