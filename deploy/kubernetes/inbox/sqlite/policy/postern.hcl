# Postern as the inbox of webhooks: one replica with SQLite on a volume.

environment = env("POSTERN_ENV", "production")

inbound {
  listen     = ":8081"
  public_url = "https://hooks.example.com" # what some signatures cover
}

proxy {
  listen = "127.0.0.1:8080" # calls go through the sidecar or the gateway
  trust  = "/var/lib/postern/trust"
  ca     = "/var/lib/postern/key/ca"
}

admin {
  listen = ":8082" # the kubelet and Prometheus ask by the pod's address
  token  = file("/run/secrets/postern/admin-token")
}

store {
  url    = "sqlite:/var/lib/postern/data/postern.db"
  retain = "30d"
}
