# What stands at the top of a file.
evironment = "prod" # error: Did you mean environment?

providr "a" { # error: Did you mean provider?
  hosts = ["a.example"]
}

test "it works" {} # error: _test.hcl
