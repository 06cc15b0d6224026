# The pinned version of an API stands in one place.
provider "a" {
  hosts = ["a.example"]
  version {
    header = "X Version" # error: is not a header name
    pin    = "1"
  }
}

provider "b" {
  hosts = ["b.example"]
  version {
    path = "v1" # error: has not exactly one {version}
    pin  = "2026"
  }
}

provider "c" {
  hosts = ["c.example"]
  version {
    header = "A"
    query  = "b"
    pin    = "1" # error: by one of header, path and query
  }
}
