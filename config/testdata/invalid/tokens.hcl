# Credentials whose tokens a provider grants.
provider "a" {
  hosts = ["a.example"]
  credential "oauth2_client_credentials" {
    token_url     = "https://a.example/token"
    client_id     = "me"
    client_secret = "hunter2" # error: does not belong into a policy
  }
}

provider "b" {
  hosts = ["b.example"]
  credential "oauth2_client_credentials" { # error: needs the client's secret
    token_url = "https://b.example/token"
    client_id = "me"
  }
}

provider "c" {
  hosts = ["c.example"]
  credential "oauth2_client_credentials" {
    token_url = "http://c.example/token" # error: in clear text
    client_id = "me"
    auth      = "none"
  }
}

provider "d" {
  hosts = ["*.d.example"]
  credential "oauth2_client_credentials" {
    token_url = "https://${account}/token" # error: none of the provider's hosts
    client_id = "me"
    auth      = "none"
  }
}

provider "e" {
  hosts = ["e.example"]
  credential "oauth2" {
    token_url     = "https://e.example/token"
    authorize_url = "/authorize" # error: not a URL
    client_id     = "me"
    auth          = "none"
  }
}

provider "f" {
  hosts = ["f.example"]
  credential "oauth2" { # error: authorize_url
    token_url = "https://f.example/token"
    client_id = "me"
    auth      = "none"
  }
}

provider "g" {
  hosts = ["g.example"]
  credential "oauth2_client_credentials" {
    token_url = "https://g.example/token"
    client_id = "me"
    auth      = "private_key" # error: unknown client authentication
  }
}

provider "h" {
  hosts = ["h.example"]
  credential "oauth2_client_credentials" {
    token_url = "https://h.example/token"
    client_id = "me"
    auth      = "none"
    scopes    = ["a b"] # error: not one scope
  }
}

provider "i" {
  hosts = ["i.example"]
  credential "jwt_bearer" { # error: the key that signs
    token_url = "https://i.example/token"
  }
}

provider "j" {
  hosts = ["j.example"]
  credential "github_app" {
    app_id          = "1"
    installation_id = request.header["X-Installation"] # error: There is no request.header here
    private_key     = [env("KEY")]
  }
}

provider "k" {
  hosts = ["k.example"]
  credential "github_app" {
    app_id          = "1"
    installation_id = "1"
    private_key     = [env("KEY")]
    api_url         = "http://github.example" # error: not a URL
  }
}

provider "l" {
  hosts = ["l.example"]
  credential "oauth2" {
    token_url     = "https://l.example/token"
    authorize_url = "https://l.example/authorize"
    client_id     = "me"
    auth          = "private_key_jwt"
    key           = [file("key.pem")]
    revoke { method = "DELETE" } # error: needs a revoke_url
  }
}

provider "m" {
  hosts = ["m.example"]
  credential "oauth2_client_credentials" { # error: is set by the request itself
    token_url     = "https://m.example/token"
    client_id     = "me"
    client_secret = env("S")
    headers       = { Accept = "text/plain" }
  }
}

provider "n" {
  hosts = ["n.example"]
  credential "oauth2_client_credentials" { # error: tls needs the client's certificate
    token_url = "https://n.example/token"
    client_id = "me"
    auth      = "tls"
  }
}

provider "o" {
  hosts = ["o.example"]
  credential "oauth2_client_credentials" {
    token_url     = "https://o.example/token"
    client_id     = "me"
    client_secret = [env("S")]
    tls_cert      = file("cert.pem") # error: go together
  }
}
