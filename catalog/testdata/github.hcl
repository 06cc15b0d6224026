provider "github" {
  catalog = "github"
  credential "bearer" { token = [file("new"), file("old")] }
}
