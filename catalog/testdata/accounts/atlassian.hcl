provider "atlassian" {
  catalog = "atlassian"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("ATLASSIAN_SECRET")]
    scopes        = ["read:jira-work", "offline_access"]
  }
}
