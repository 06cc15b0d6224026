# What HCL itself cannot read.
provider "a" {
  hosts = ["a.example"]
  retry { attempts = 3 } timeout { total = "5s" } # error: Missing newline after block definition
}
