provider "github" {
  catalog = "github"
  credential "github_app" {
    app_id          = "12345"
    installation_id = account
    private_key     = [file("app.pem")]
    permissions     = { contents = "read" }
  }
}
