# Shares and rates out of their range.
provider "a" {
  hosts = ["a.example"]
  breaker {
    failures = 1.5 # error: is not a share between 0 and 1
  }
  limit "a" {
    rate  = "1/s"
    burst = -1 # error: is negative
  }
}
