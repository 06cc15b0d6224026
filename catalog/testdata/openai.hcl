provider "openai" {
  catalog = "openai"
  credential "bearer" { token = [env("OPENAI_KEY"), env("OPENAI_KEY_BEFORE")] }
}
