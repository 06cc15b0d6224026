provider "xero" {
  catalog = "xero"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("XERO_SECRET")]
    scopes        = ["accounting.transactions", "offline_access"]
  }
}
