# Misspelt blocks and attributes come with what was probably meant.
provider "a" {
  hosts   = ["a.example"]
  upsteam = "http://127.0.0.1:1" # error: Did you mean "upstream"?

  retrey {} # error: Did you mean "retry"?

  retry {
    atempts = 3 # error: Did you mean "attempts"?
  }
  timeout {
    conect = "5s" # error: Did you mean "connect"?
  }
}
