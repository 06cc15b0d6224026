# Kinds of credentials, likewise.
provider "a" {
  hosts = ["a.example"]
  credential "http_signature" { # error: does not have it yet
    key_id = "1"
  }
}
