provider "zoom" {
  catalog = "zoom"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("ZOOM_SECRET")]
    scopes        = ["meeting:read", "user:read"]
  }
}
