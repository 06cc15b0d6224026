provider "gateio" {
  catalog = "gateio"
  credential "hmac" {
    secret = env("GATE_SECRET")
    key_id = env("GATE_KEY")
  }
}
