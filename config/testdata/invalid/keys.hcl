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
    keep    = "24h"               # error: no response store yet
  }
}
