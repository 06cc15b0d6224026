{{- define "postern.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "postern.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "postern.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "postern.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "postern.selector" -}}
app.kubernetes.io/name: {{ include "postern.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.mode }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: postern
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "postern.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "postern.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "postern.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "postern.configMapName" -}}
{{ default (printf "%s-policy" (include "postern.fullname" .)) .Values.existingConfigMap }}
{{- end }}

{{- define "postern.sqlite" -}}
{{- if eq .Values.kind "StatefulSet" }}yes{{ end -}}
{{- end }}

{{- /* The files of the policy: the chart's postern.hcl, and what `config` says. */}}
{{- define "postern.files" -}}
{{- if not (hasKey .Values.config "postern.hcl") }}
postern.hcl: |
  {{- tpl (.Files.Get (printf "files/%s.hcl" .Values.mode)) . | trim | nindent 2 }}
{{- end }}
{{- range $name, $text := .Values.config }}
{{ $name }}: |
  {{- $text | trim | nindent 2 }}
{{- end }}
{{- end }}
