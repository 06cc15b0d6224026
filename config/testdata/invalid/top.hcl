# What stands at the top of a file.
evironment = "prod" # error: Did you mean environment?

providr "a" { # error: Did you mean provider?
  hosts = ["a.example"]
}

contract "create" {} # error: Not built yet

connect { # error: Not built yet
  listen = "127.0.0.1:8083"
}

seal { keys = [file("seal")] } # error: Not built yet

shared { url = "redis://127.0.0.1:6379/0" } # error: Not built yet

test "it works" {} # error: _test.hcl

provider { # error: Invalid name
  hosts = ["b.example"]
}

provider "two words" { # error: Invalid name
  hosts = ["c.example"]
}
