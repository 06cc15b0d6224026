# The process: where it listens, and for whom.
proxy {
  listen           = "0.0.0.0:8080"      # error: so a client has to be declared
  unmatched        = "block"             # error: either "tunnel" or "deny"
  private_networks = ["10.0.0.1/8"]      # error: is not a network
}

inbound {
  listen     = "8081"                    # error: an address with a port
  public_url = "hooks.example.com"       # error: http or https URL
}

admin { listen = "0.0.0.0:8082" }        # error: token
