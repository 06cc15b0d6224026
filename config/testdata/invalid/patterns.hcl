# Patterns of requests.
provider "a" {
  hosts     = ["a.example"]
  endpoints = ["/a/{id}", "/a/{name}"] # error: matches the same requests as one before it
  allow {
    requests = ["GET /v1/**", "GET /v1/**"] # error: matches the same requests as one before it
  }
}

provider "b" {
  hosts     = ["b.example"]
  endpoints = ["post /v1"] # error: is not "METHOD /path"
}
