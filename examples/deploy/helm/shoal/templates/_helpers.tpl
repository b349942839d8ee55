{{- define "shoal.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end }}
{{- define "shoal.labels" -}}
app.kubernetes.io/name: shoal
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "shoal.secret" -}}{{ .Values.token.existingSecret | default (include "shoal.name" .) }}{{- end }}
{{- define "shoal.config" -}}
storage-way: 1
data-dir: /data
drain-timeout: 40s
mqtt:
  tcp: ':1883'
  ws: ':1882'
  http: ':8080'
  info: {token: '${INFO_TOKEN}'}
{{- if .Values.tls.existingSecret }}
  tls:
    server-cert: /etc/shoal-tls/tls.crt
    server-key: /etc/shoal-tls/tls.key
{{- if .Values.tls.clientCA }}
    ca-cert: /etc/shoal-tls/ca.crt
{{- end }}
{{- end }}
cluster:
  node-name: ${POD_NAME}
  bind-addr: 0.0.0.0
  advertise-addr: ${POD_IP}
  members: ['{{ include "shoal.name" . }}-nodes:7946']
  raft-expect: {{ .Values.replicaCount }}
{{- end }}
