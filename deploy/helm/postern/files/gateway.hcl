# Postern as a gateway; of the Helm chart.
environment = env("POSTERN_ENV", "production")

proxy {
  listen    = ":8080"
  unmatched = "deny"
  trust     = "/var/lib/postern/trust"
  ca        = "/var/lib/postern/key/ca"

  tls {
    cert = "/run/secrets/postern-tls/tls.crt"
    key  = "/run/secrets/postern-tls/tls.key"
  }
{{- range .Values.gateway.clients }}

  client {{ .name | quote }} {
    token = file("/run/secrets/postern/client-{{ .name }}")
    {{- with get . "providers" }}
    providers = {{ toJson . }}
    {{- end }}
  }
{{- end }}
}

inbound { listen = "127.0.0.1:8081" }

admin {
  listen = ":8082"
  names  = ["{{ include "postern.fullname" . }}-admin"]
  token  = file("/run/secrets/postern/admin-token")
}

store { url = env("DATABASE_URL") }
{{- if .Values.redis }}

shared { url = env("REDIS_URL") }
{{- end }}
