provider "notion" {
  catalog = "notion"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("NOTION_SECRET")]
  }
}
