provider "google" {
  catalog = "google"
  hosts   = ["www.googleapis.com"]
  credential "header" { value = env("GOOGLE_KEY") }
}
