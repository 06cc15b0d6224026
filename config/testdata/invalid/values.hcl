# Values of the wrong type or form.
provider "b" {
  hosts = ["b.example"]
  retry { on = ["server"] } # error: is not an outcome
}

provider "a" {
  hosts = ["a.example"]

  retry {
    attempts = "many"      # error: a number is required
    buffer   = "1MB"       # error: is not a size
    backoff {
      first  = "1 second"  # error: is not a duration
      jitter = "some"      # error: unknown jitter
    }
  }
  timeout { total = "-5s" }        # error: is not a duration
  limit "a" { rate = "100 per s" } # error: is not a rate
  allow {
    requests = ["/v1"]
    mode     = "warn"              # error: neither "enforce" nor "observe"
  }
}
