# Postern as a gateway: several replicas that applications reach over the network.

environment = env("POSTERN_ENV", "production")

proxy {
  listen    = ":8080"
  unmatched = "deny" # hosts that no provider names
  trust     = "/var/lib/postern/trust"
  ca        = "/var/lib/postern/key/ca" # one authority for all replicas: `postern ca import`

  tls {
    cert = "/run/secrets/postern-tls/tls.crt"
    key  = "/run/secrets/postern-tls/tls.key"
  }

  client "billing" {
    token     = file("/run/secrets/postern/client-billing")
    providers = ["stripe"]
  }
}

inbound { listen = "127.0.0.1:8081" } # webhooks go to the inbox

admin {
  listen = ":8082" # the kubelet and Prometheus ask by the pod's address
  token  = file("/run/secrets/postern/admin-token")
}

store { url = env("DATABASE_URL") }

# One exact limit for all replicas; without it they divide limits.
# shared { url = env("REDIS_URL") }
