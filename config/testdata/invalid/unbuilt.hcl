# What the language has and this version not yet is refused, never ignored.
provider "a" {
  hosts = ["a.example"]
  fallback { stale = "10m" }                       # error: Not built yet
  drift { mode = "observe" }                       # error: Not built yet
}
