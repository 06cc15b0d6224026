# A secret is a reference to what can be read.
provider "a" {
  hosts = ["a.example"]
  credential "bearer" {
    token = "sk_live_0123456789" # error: Secret written out
  }
}

provider "b" {
  hosts = ["b.example"]
  credential "bearer" { token = [] } # error: At least one secret
}

provider "c" {
  hosts = ["c.example"]
  credential "bearer" { token = command("vault read x | jq .y") } # error: no shell
}

provider "d" {
  hosts = ["d.example"]
  credential "bearer" { token = expect(env("T"), "(") } # error: is not a regular expression
}

provider "e" {
  hosts = ["e.example"]
  credential "bearer" { token = command("vault", "-token", env("T")) } # error: every program of this machine can read
}

provider "f" {
  hosts = ["f.example"]
  credential "bearer" { token = command("vault read x", { lifetime = "1s" }) } # error: less than 10s
}

provider "g" {
  hosts = ["g.example"]
  credential "bearer" {
    token     = [env("T"), "sk_live_0123456789"] # error: Secret written out
    rotate_on = ["validation"]
  }
}

provider "h" {
  hosts = ["h.example"]
  credential "bearer" {
    token     = env("T")
    rotate_on = ["auth", "validation"] # error: says nothing about the key
  }
}

provider "i" {
  hosts = ["i.example"]
  credential "bearer" { token = environment == "prod" ? env("T") : "sk_test_0123456789" } # error: Secret written out
}

provider "j" {
  hosts = ["j.example"]
  credential "bearer" { token = expect(env("T"), env("PATTERN")) } # error: the pattern
}
