# Credentials that could not be put into a request.
provider "a" {
  hosts = ["a.example"]
  credential "bearer" {
    token  = env("T")
    scheme = "two words" # error: is not a word
  }
}

provider "b" {
  hosts = ["b.example"]
  credential "path" {
    token  = env("T")
    prefix = "/a/b/${token}" # error: one segment with the token in it
  }
}

provider "c" {
  hosts = ["c.example"]
  credential "header" {
    name  = "Content-Length" # error: frames the message
    value = env("T")
  }
}

provider "d" {
  hosts = ["d.example"]
  credential "body" { fields = {} } # error: at least one field
}
