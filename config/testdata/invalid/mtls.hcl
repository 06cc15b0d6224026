# Client certificates that cannot be shown.
provider "a" {
  hosts = ["a.example"]
  credential "mtls" {
    cert = "client.pem" # error: Write env("NAME"), file("path")
    key  = file("client-key.pem")
  }
}
provider "b" {
  hosts = ["b.example"]
  credential "mtls" { # error: The argument "key" is required
    cert = file("client.pem")
  }
}
provider "c" {
  hosts    = ["c.example"]
  upstream = "http://127.0.0.1:12111"
  credential "mtls" { # error: the upstream of provider "c" is plain http
    cert = file("client.pem")
    key  = file("client-key.pem")
  }
}
provider "d" {
  hosts = ["d.example"]
  credential "mtls" {
    cert = file("client.pem")
    key  = file("client-key.pem")
  }
  credential "mtls" { # error: Another credential goes into the same place
    cert = file("other.pem")
    key  = file("other-key.pem")
  }
}
