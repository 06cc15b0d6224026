# Hosts: written in one way, owned by one provider.
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

provider "first" {
  hosts    = ["shared.example", "*.wild.example"]
  upstream = "127.0.0.1:12111" # error: is not the URL of a host
}

provider "second" {
  hosts = ["shared.example:443"] # error: belongs to provider "first" already
}

provider "third" {
  hosts  = ["*.wild.example"] # error: belongs to provider "first" already
  listen = "8091"             # error: is not an address with a port
}

provider "first" { # error: Duplicate provider
  hosts = ["another.example"]
}
