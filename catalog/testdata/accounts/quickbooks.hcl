provider "quickbooks" {
  catalog = "quickbooks"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("QUICKBOOKS_SECRET")]
    scopes        = ["com.intuit.quickbooks.accounting"]
  }
}
