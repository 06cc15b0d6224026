provider "square" {
  catalog = "square"
  credential "bearer" { token = env("SQUARE_TOKEN") }
}
