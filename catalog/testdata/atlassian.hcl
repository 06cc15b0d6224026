provider "atlassian" {
  catalog = "atlassian"
  hosts   = ["acme.atlassian.net"]
  credential "basic" {
    username = "me@example.com"
    password = env("ATLASSIAN_TOKEN")
  }
}
