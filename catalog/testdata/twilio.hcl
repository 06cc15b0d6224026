provider "twilio" {
  catalog = "twilio"
  credential "basic" {
    username = "SK0123456789abcdef"
    password = env("TWILIO_SECRET")
  }
}
