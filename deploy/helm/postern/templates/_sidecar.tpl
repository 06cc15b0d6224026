{{- /*
The sidecar, for a chart that has this one among its dependencies, with
`mode: sidecar`. In its pod template:

  initContainers:
    {{- include "postern.sidecar.container" .Subcharts.postern | nindent 4 }}
  containers:
    - name: app
      env:
        {{- include "postern.sidecar.env" .Subcharts.postern | nindent 8 }}
      volumeMounts:
        {{- include "postern.sidecar.volumeMounts" .Subcharts.postern | nindent 8 }}
  volumes:
    {{- include "postern.sidecar.volumes" .Subcharts.postern | nindent 4 }}

files/sidecar.yaml is the one definition, that of the Kustomize component.
*/}}
{{- define "postern.sidecar.spec" -}}
{{- (.Files.Get "files/sidecar.yaml" | fromYaml).spec.template.spec | toYaml -}}
{{- end }}

{{- define "postern.sidecar.container" -}}
{{- $c := index (include "postern.sidecar.spec" . | fromYaml).initContainers 0 -}}
{{- $_ := set $c "image" (include "postern.image" .) -}}
{{- $_ := set $c "imagePullPolicy" .Values.image.pullPolicy -}}
{{- range $e := $c.env -}}
{{- with get $e "valueFrom" -}}
{{- $_ := set .secretKeyRef "name" $.Values.existingSecret -}}
{{- end -}}
{{- end -}}
{{- $_ := set $c "env" (concat $c.env .Values.extraEnv) -}}
{{- $_ := set $c "volumeMounts" (concat $c.volumeMounts .Values.extraVolumeMounts) -}}
{{- list $c | toYaml -}}
{{- end }}

{{- define "postern.sidecar.volumes" -}}
{{- $volumes := (include "postern.sidecar.spec" . | fromYaml).volumes -}}
{{- range $v := $volumes -}}
{{- with get $v "configMap" -}}{{- $_ := set . "name" (include "postern.configMapName" $) -}}{{- end -}}
{{- with get $v "secret" -}}{{- $_ := set . "secretName" $.Values.existingSecret -}}{{- end -}}
{{- end -}}
{{- concat $volumes .Values.extraVolumes | toYaml -}}
{{- end }}

{{- define "postern.sidecar.env" -}}
{{- range .Files.Lines "files/sidecar.env" }}
{{- if . }}
{{- $pair := splitn "=" 2 . }}
- name: {{ $pair._0 }}
  value: {{ $pair._1 | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.sidecar.volumeMounts" -}}
- name: postern-trust
  mountPath: /var/lib/postern/trust
  readOnly: true
{{- end }}
