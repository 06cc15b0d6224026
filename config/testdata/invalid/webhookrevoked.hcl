# An event ends a grant at a provider, and only by what its signature covers.
webhook "github" {
  path       = "/github"
  provider   = "github"
  revoked_by = event.type == "installation" && body.action == "deleted" # error: The signature covers the body only
  verify "github" { secrets = [env("SECRET")] }
  event { type = header["X-GitHub-Event"] }
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "other" {
  path       = "/other"
  revoked_by = body.type == "uninstalled" # error: say whose webhook this is by provider
  verify "github" { secrets = [env("SECRET")] }
  deliver { to = "http://127.0.0.1:3000/" }
}

webhook "text" {
  path       = "/text"
  provider   = "github"
  revoked_by = "yes" # error: A condition must be true or false
  verify "github" { secrets = [env("SECRET")] }
  deliver { to = "http://127.0.0.1:3000/" }
}

provider "github" { hosts = ["api.github.com"] }
