# What the language has and this version not yet is refused, never ignored.
provider "a" {
  hosts = ["a.example"]
  fallback { stale = "10m" }                       # error: Not built yet
  drift { mode = "observe" }                       # error: Not built yet
  deadletter { outcomes = ["server_error"] }       # error: Not built yet
  async {}                                         # error: Not built yet
  limit "learned" {
    remaining = response.header["X-RateLimit-Remaining"] # error: Not built yet
  }
  credential "oauth2_client_credentials" {         # error: does not have it yet
    token_url = "https://a.example/token"
  }
  credential "aws_sigv4" {                         # error: does not have it yet
    region = "eu-west-1"
  }
}
