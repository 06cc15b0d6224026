# Idempotency keys.
provider "a" {
  hosts = ["a.example"]
  idempotency { # error: by one of header, query and field
    header = "Idempotency-Key"
    query  = "rid"
  }
}

provider "b" {
  hosts = ["b.example"]
  idempotency {
    header = "Idempotency-Key"
    key    = "order" # error: the same for every call
  }
}

provider "c" {
  hosts = ["c.example"]
  idempotency {
    header = "Idempotency-Key"
    key    = sha256(request.raw_body) # error: two genuine calls
  }
}

provider "d" {
  hosts = ["d.example"]
  idempotency {
    header  = "Transfer-Encoding" # error: frames the message
    methods = ["post"]            # error: is not a method in capitals
    final   = [5]                 # error: is not a status
    keep    = "500d"              # error: longer than 400d
  }
}

provider "e" {
  hosts = ["e.example"]
  idempotency { # error: for a provider that knows no keys, say key and keep
    key = request.header["X-Order-Id"]
  }
}

provider "f" {
  hosts = ["f.example"]
  idempotency { # error: final and in_flight are about what the provider makes of a key
    key   = request.header["X-Order-Id"]
    keep  = "24h"
    final = [500]
  }
}

provider "g" {
  hosts = ["g.example"]
  idempotency {
    query      = "rid"
    quoted     = true    # error: only the value of a header
    characters = "[a-z]" # error: is not a list of characters
    length     = 0       # error: is not between 1 and 4096
    keep       = "10ms"  # error: shorter than a second
    keep_size  = "1GiB"  # error: is more than 64MiB
    vary       = ["a b"] # error: is not a header name
    in_flight  = [1]     # error: is not a status
  }
}

provider "h" {
  hosts = ["h.example"]
  idempotency {
    header = "Idempotency-Key"
    length = 20 # error: no random key has so few bytes
  }
}
