provider "github" {
  catalog = "github"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("GITHUB_SECRET")]
    scopes        = ["repo", "read:org"]
  }
}
