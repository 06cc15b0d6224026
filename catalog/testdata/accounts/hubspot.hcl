provider "hubspot" {
  catalog = "hubspot"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("HUBSPOT_SECRET")]
    scopes        = ["oauth", "crm.objects.contacts.read"]
  }
}
