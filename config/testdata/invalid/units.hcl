# Durations, sizes and rates.
provider "a" {
  hosts = ["a.example"]
  retry {
    buffer = "1MB" # error: is not a size
    backoff {
      first = "1 second" # error: is not a duration
    }
  }
  timeout { total = "-5s" }        # error: is not a duration
  limit "a" { rate = "100 per s" } # error: is not a rate
}
