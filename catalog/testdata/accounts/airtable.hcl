provider "airtable" {
  catalog = "airtable"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("AIRTABLE_SECRET")]
    scopes        = ["data.records:read"]
  }
}
