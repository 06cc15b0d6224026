provider "stripe" {
  catalog = "stripe"
  credential "bearer" { token = file("/run/secrets/postern/stripe") }
}
