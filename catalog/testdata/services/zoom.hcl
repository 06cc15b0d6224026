provider "zoom" {
  catalog = "zoom"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("ZOOM_SECRET")]
  }
}
