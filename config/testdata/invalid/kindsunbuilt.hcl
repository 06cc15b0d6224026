# Kinds of credentials, likewise.
provider "a" {
  hosts = ["a.example"]
  credential "mtls" { # error: does not have it yet
    cert = "client.pem"
  }
}
