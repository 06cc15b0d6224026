provider "adyen" {
  catalog = "adyen"
  hosts   = ["acme-checkout-live.adyenpayments.com"]
  credential "header" { value = env("ADYEN_KEY") }
}
