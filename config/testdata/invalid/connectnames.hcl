# A name is for a provider that there is.
connect { # error: Did you mean "github"?
  public_url = "https://connect.example.com"
  names      = { gihtub = "GitHub" }
}

provider "github" { hosts = ["api.github.com"] }
