# What is written out is checked at once.
shared {
  url    = "redis://127.0.0.1:6379/0?dial_timeout=5m" # error: without parameters
  prefix = "a {b}"                                    # error: is not a prefix
}
