provider "xero" {
  catalog = "xero"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("XERO_SECRET")]
    scopes        = ["accounting.transactions.read"]
  }
}
