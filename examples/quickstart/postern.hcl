# The process: where it listens and where it keeps things. Every value here is
# the default; the file is a place to change one. Nothing here is reachable from
# another machine.

proxy {
  listen    = "127.0.0.1:8080" # HTTPS_PROXY of your applications
  unmatched = "tunnel"         # hosts that no provider names pass through unseen; "deny" refuses them
  trust     = "trust"          # made at start: what applications need to trust this proxy
  ca        = "ca"             # made at start: its private key, which never leaves this folder
}

inbound {
  listen = "127.0.0.1:8081" # where providers post webhooks, through your tunnel or load balancer
}

admin {
  listen = "127.0.0.1:8082" # health, metrics, and what `postern inbox` asks
}

store {
  url    = "sqlite:postern.db" # webhooks are on disk before they are acknowledged
  retain = "30d"
}
