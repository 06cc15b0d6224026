# Hosts: written in one way.
provider "none" {} # error: Missing hosts

provider "empty" {
  hosts = [] # error: Missing hosts
}

provider "case" {
  hosts = ["API.stripe.com"] # error: write "api.stripe.com"
}

provider "middle" {
  hosts = ["api.*.com"] # error: only in front
}

provider "url" {
  hosts = ["https://api.example.com"] # error: no valid port
}

provider "address" {
  hosts = ["0177.0.0.1"] # error: is not a host name
}

provider "idn" {
  hosts = ["bücher.example"] # error: is written "xn--bcher-kva.example" in DNS
}
