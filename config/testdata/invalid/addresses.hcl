# Where a provider is reached, and where it listens.
provider "a" {
  hosts    = ["a.example"]
  upstream = "127.0.0.1:12111" # error: is not the URL of a host
}

provider "b" {
  hosts  = ["b.example"]
  listen = "8091" # error: is not an address with a port
}
