# Values that parse and make no sense.
provider "a" {
  hosts = ["a.example"]
  retry {
    backoff {
      first = "10s"
      max   = "1s" # error: is less than first
    }
  }
  breaker {
    failures = 1.5 # error: is not a share between 0 and 1
  }
  limit "a" {
    rate  = "1/s"
    burst = -1 # error: is negative
  }
  version {
    header = "X Version" # error: is not a header name
    pin    = "1"
  }
}

provider "b" {
  hosts = ["b.example"]
  retry {
    attempts = 2
    on       = ["ok"] # error: is never retried
  }
  version {
    path = "v1" # error: has not exactly one {version}
    pin  = "2026"
  }
  credential "bearer" {
    token  = env("T")
    scheme = "two words" # error: is not a word
  }
}

provider "c" {
  hosts = ["c.example"]
  version {
    header = "A"
    query  = "b"
    pin    = "1" # error: by one of header, path and query
  }
  credential "path" {
    token  = env("T")
    prefix = "/a/b/${token}" # error: one segment with the token in it
  }
}

provider "d" {
  hosts = ["d.example"]
  retry { attempts = 21 } # error: is not between 1 and 20
  credential "header" {
    name  = "Content-Length" # error: frames the message
    value = env("T")
  }
}
