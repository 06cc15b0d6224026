# Kinds of credentials, likewise.
provider "a" {
  hosts = ["a.example"]
  credential "oauth2_client_credentials" { # error: does not have it yet
    token_url = "https://a.example/token"
  }
  credential "aws_sigv4" { # error: does not have it yet
    region = "eu-west-1"
  }
}
