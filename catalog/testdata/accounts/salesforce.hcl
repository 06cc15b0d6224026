provider "salesforce" {
  catalog = "salesforce"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("SALESFORCE_SECRET")]
    scopes        = ["api", "refresh_token"]
  }
}
