provider "airtable" {
  catalog = "airtable"
  credential "bearer" { token = env("AIRTABLE_TOKEN") }
}
