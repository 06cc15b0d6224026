# A provider has one name, which is a word.
provider { # error: Invalid name
  hosts = ["b.example"]
}

provider "two words" { # error: Invalid name
  hosts = ["c.example"]
}
