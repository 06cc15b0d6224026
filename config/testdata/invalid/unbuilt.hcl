# What the language has and this version not yet is refused, never ignored.
provider "a" {
  hosts = ["a.example"]
  drift { mode = "observe" }                       # error: Not built yet
}
