provider "google" {
  catalog = "google"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("GOOGLE_SECRET")]
    scopes        = ["https://www.googleapis.com/auth/calendar.readonly"]
  }
}
