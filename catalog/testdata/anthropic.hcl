provider "anthropic" {
  catalog = "anthropic"
  credential "header" { value = env("ANTHROPIC_KEY") }
}
