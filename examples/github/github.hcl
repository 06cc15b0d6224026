# GitHub: its REST API, and the webhooks of a repository or organisation.

provider "github" {
  catalog = "github"

  # Two tokens for a rotation: the second is tried when the first gets a 401.
  credential "bearer" {
    token = [file("secrets/token"), file("secrets/token-before")]
  }

  # What this application does, and nothing else that the token could.
  allow {
    requests = [
      "GET /repos/{owner}/{repo}/**",
      "POST /repos/{owner}/{repo}/issues",
      "POST /repos/{owner}/{repo}/issues/{number}/comments",
    ]
  }
}

webhook "github" {
  catalog = "github"
  path    = "/github"

  verify "github" {
    secrets = [env("GITHUB_WEBHOOK_SECRET")]
  }
  deliver {
    to = "http://127.0.0.1:3000/webhooks/github"
  }
}
