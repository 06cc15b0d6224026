# Requests that cannot be signed as they are described.
provider "a" {
  hosts = ["a.example"]
  credential "hmac" {
    secret    = "written out" # error: A secret does not belong into a policy
    key_id    = "public"
    message   = "${request.path}${nope}" # error: There is no nope here
    header    = { X-Sig = "${signature}" }
    algorithm = "sha3" # error: unknown algorithm "sha3"
  }
}
provider "b" {
  hosts = ["b.example"]
  credential "hmac" {
    secret  = env("S")
    message = "${request.path}"       # error: The signature goes nowhere
    header  = { X-Key = "${key_id}" } # error: There is no key_id
  }
}
provider "c" {
  hosts = ["c.example"]
  credential "aws_sigv4" {
    access_key_id     = "AKIDEXAMPLE"
    secret_access_key = "written out"     # error: A secret does not belong into a policy
    region            = env("AWS_REGION") # error: is a secret, and this value is not kept secret
  }
}
provider "e" {
  hosts = ["e.example"]
  credential "http_signature" {
    key        = env("K")
    alg        = "rsa-sha1"  # error: unknown algorithm "rsa-sha1"
    components = ["@status"] # error: a request has no component "@status"
  }
}
provider "f" {
  hosts = ["f.example"]
  credential "http_signature" {
    key        = env("K")
    alg        = "ed25519"
    parameters = ["created"]
    key_id     = "public" # error: parameters does not have keyid
  }
}
provider "d" {
  hosts   = ["d.example"]
  catalog = "kraken"
  credential "hmac" {} # error: secret
}
