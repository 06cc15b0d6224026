# Postern as an inbox; of the Helm chart.
environment = env("POSTERN_ENV", "production")

inbound {
  listen = ":8081"
  {{- with .Values.inbox.publicUrl }}
  public_url = {{ . | quote }}
  {{- end }}
}

proxy {
  listen = "127.0.0.1:8080"
  trust  = "/var/lib/postern/trust"
  ca     = "/var/lib/postern/key/ca"
}

admin {
  listen = ":8082"
  names  = ["{{ include "postern.fullname" . }}-admin"]
  token  = file("/run/secrets/postern/admin-token")
}
{{ if include "postern.sqlite" . }}
store { url = "sqlite:/var/lib/postern/data/postern.db" }
{{- else }}
store { url = env("DATABASE_URL") }
{{- end }}
{{- if .Values.redis }}

shared { url = env("REDIS_URL") }
{{- end }}
