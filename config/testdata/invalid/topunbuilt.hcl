# Blocks of the language that this version has not yet.
contract "create" {} # error: Not built yet

connect { # error: Not built yet
  listen = "127.0.0.1:8083"
}
