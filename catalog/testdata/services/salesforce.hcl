provider "salesforce" {
  catalog = "salesforce"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("SALESFORCE_SECRET")]
  }
}
