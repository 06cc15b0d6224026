provider "linear" {
  catalog = "linear"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("LINEAR_SECRET")]
    scopes        = ["read", "issues:create"]
  }
}
