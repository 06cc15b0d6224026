proxy { # error: declared twice
  client "a" { token = env("A") }
  client "a" { token = env("B") }
}
