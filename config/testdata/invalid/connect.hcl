# Customers need an origin, over TLS, and are sent to listed origins only.
connect {
  listen     = "8083"                               # error: "8083" is not HOST:PORT
  public_url = "https://example.com/connect"        # error: the listener needs a host of its own
  return_to  = ["https://app.example.com", "http://app.example.com/"] # error: write https
  embed      = ["https://*.example.com"]            # error: is not an origin
  title      = "Northwind\u202eBilling"             # error: it stands in a headline
}

connect { # error: Duplicate connect
  public_url = "https://connect.example.com"
}
