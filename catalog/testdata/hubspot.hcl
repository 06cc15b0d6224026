provider "hubspot" {
  catalog = "hubspot"
  credential "bearer" { token = env("HUBSPOT_TOKEN") }
}
