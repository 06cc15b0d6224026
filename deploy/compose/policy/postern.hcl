# Postern in Compose: the application and Postern are two machines of one network.

environment = env("POSTERN_ENV", "production")

proxy {
  listen = "0.0.0.0:8080"
  trust  = "/var/lib/postern/trust"
  ca     = "/var/lib/postern/ca"
  client "app" { token = env("APP_TOKEN") }
}

inbound { listen = "0.0.0.0:8081" }

store { url = file("/run/secrets/database-url") }
shared { url = file("/run/secrets/redis-url") }
