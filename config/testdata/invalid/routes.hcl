# Routes, and what cannot stand in one.
provider "a" {
  hosts = ["a.example"]
  route "POST /v1/charges" {}
  route "POST /v1/charges" {} # error: Duplicate route
  route "v1/charges" {}       # error: is not "METHOD /path" or "/path"
  route "/v1/../admin" {}     # error: can be read in two ways
  route "/v1/**/x" {}         # error: ** as the last one
  route "/v1?a=b" {}          # error: more than a path
  route "/x" {
    hosts = ["b.example"] # error: An argument named "hosts" is not expected here
  }
}
