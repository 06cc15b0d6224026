provider "google" {
  catalog = "google"
  credential "jwt_bearer" {
    key     = [file("service-account.json")]
    scopes  = ["https://www.googleapis.com/auth/drive.readonly"]
    subject = account
  }
}
