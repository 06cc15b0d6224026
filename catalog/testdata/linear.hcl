provider "linear" {
  catalog = "linear"
  credential "header" { value = env("LINEAR_KEY") }
}
