# Each host is owned by one provider.
provider "first" {
  hosts = ["shared.example", "*.wild.example"]
}

provider "second" {
  hosts = ["shared.example:443"] # error: belongs to provider "first" already
}

provider "third" {
  hosts = ["*.wild.example"] # error: belongs to provider "first" already
}

provider "first" { # error: Duplicate provider
  hosts = ["another.example"]
}
