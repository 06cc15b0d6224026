provider "a" {
  hosts  = ["a.example"]
  listen = "127.0.0.1:8091"
}

provider "b" {
  hosts  = ["b.example"]
  listen = "127.0.0.1:8091" # error: Provider "a" listens on
}
