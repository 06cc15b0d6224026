{{- define "postern.env" -}}
- name: POSTERN_CONFIG
  value: /etc/postern
- name: POSTERN_DRAIN_DELAY
  value: {{ .Values.drainDelay | quote }}
- name: GOMEMLIMIT
  value: {{ .Values.goMemLimit | quote }}
{{- if include "postern.sqlite" . }}
- name: SQLITE_TMPDIR
  value: /var/lib/postern/data
{{- else }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: database-url
      optional: true
{{- end }}
{{- if .Values.redis }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: redis-url
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "postern.pod" -}}
metadata:
  labels:
    {{- include "postern.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations (and .Values.checksumConfig (not .Values.existingConfigMap)) }}
  annotations:
    {{- if and .Values.checksumConfig (not .Values.existingConfigMap) }}
    checksum/config: {{ include "postern.files" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false # a Service called postern would set POSTERN_PORT
  serviceAccountName: {{ include "postern.serviceAccountName" . }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpread.enabled }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "postern.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- if eq .Values.mode "gateway" }}
  initContainers:
    # A call may come to any replica, so all of them sign by one authority.
    - name: authority
      image: {{ include "postern.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [ca, import, /run/secrets/postern-ca]
      env:
        {{- include "postern.env" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: policy, mountPath: /etc/postern, readOnly: true}
        - {name: authority, mountPath: /run/secrets/postern-ca, readOnly: true}
        - {name: key, mountPath: /var/lib/postern/key}
  {{- end }}
  containers:
    - name: postern
      image: {{ include "postern.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run]
      env:
        {{- include "postern.env" . | nindent 8 }}
      ports:
        {{- if eq .Values.mode "gateway" }}
        - {name: proxy, containerPort: 8080}
        {{- else }}
        - {name: inbound, containerPort: 8081}
        {{- end }}
        - {name: admin, containerPort: 8082}
      startupProbe:
        httpGet: {path: /startupz, port: admin}
        periodSeconds: 1
        timeoutSeconds: 3
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 3
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 3
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        # Folders, never subPath: a file mounted alone is never updated.
        - {name: policy, mountPath: /etc/postern, readOnly: true}
        - {name: secrets, mountPath: /run/secrets/postern, readOnly: true}
        {{- if eq .Values.mode "gateway" }}
        - {name: tls, mountPath: /run/secrets/postern-tls, readOnly: true}
        {{- end }}
        {{- if include "postern.sqlite" . }}
        - {name: data, mountPath: /var/lib/postern/data}
        {{- end }}
        - {name: trust, mountPath: /var/lib/postern/trust}
        - {name: key, mountPath: /var/lib/postern/key}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: policy
      configMap:
        name: {{ include "postern.configMapName" . }}
    - name: secrets
      secret:
        secretName: {{ .Values.existingSecret }}
    {{- if eq .Values.mode "gateway" }}
    - name: tls
      secret:
        secretName: {{ .Values.gateway.tls.existingSecret }}
    - name: authority
      secret:
        secretName: {{ .Values.gateway.authority.existingSecret }}
    {{- end }}
    - name: trust
      emptyDir: {sizeLimit: 8Mi}
    - name: key
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
