# Kinds of credentials, likewise.
provider "a" {
  hosts = ["a.example"]
  credential "aws_sigv4" { # error: does not have it yet
    region = "eu-west-1"
  }
}
