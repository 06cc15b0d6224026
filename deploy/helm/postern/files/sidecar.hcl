# Postern as a sidecar; of the Helm chart.
environment = env("POSTERN_ENV", "production")

proxy {
  listen = "127.0.0.1:8780"
  trust  = "/var/lib/postern/trust"
  ca     = "/var/lib/postern/key/ca"
}

inbound { listen = "127.0.0.1:8781" }

admin {
  listen = ":8782"
  token  = file("/run/secrets/postern/admin-token")
}

store { url = env("DATABASE_URL") }
{{- if .Values.redis }}

shared { url = env("REDIS_URL") }
{{- end }}
