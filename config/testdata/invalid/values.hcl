# Values of the wrong type, or of no closed set.
provider "b" {
  hosts = ["b.example"]
  retry { on = ["server"] } # error: is not an outcome
}

provider "a" {
  hosts = ["a.example"]
  retry {
    attempts = "many" # error: a number is required
    backoff {
      jitter = "some" # error: unknown jitter
    }
  }
  allow {
    requests = ["/v1"]
    mode     = "warn" # error: neither "enforce" nor "observe"
  }
}
