provider "square" {
  catalog = "square"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("SQUARE_SECRET")]
    scopes        = ["PAYMENTS_READ", "ORDERS_READ"]
  }
}
