provider "sendgrid" {
  catalog = "sendgrid"
  credential "bearer" { token = env("SENDGRID_KEY") }
}
