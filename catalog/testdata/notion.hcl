provider "notion" {
  catalog = "notion"
  credential "bearer" { token = env("NOTION_TOKEN") }
}
