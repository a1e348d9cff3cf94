{{- define "worker.labels" -}}
app.kubernetes.io/name: im-delivery-worker
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "worker.metadata" -}}
name: {{ .root.Release.Name }}-{{ .component }}
labels:
  {{- include "worker.labels" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "worker.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What a pod is but for its container: no token of the cluster's, a user without rights. */}}
{{- define "worker.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: tmp
    emptyDir: { sizeLimit: 512Mi }
  - name: secrets
    secret:
      secretName: {{ .root.Values.secret.name }}
      defaultMode: 0440
      items:
        {{- range .secrets }}
        - { key: {{ . }}{{ if and (eq . "database") (hasKey $.root.Values.databases $.component) }}-{{ $.component }}{{ end }}, path: {{ . }} }
        {{- end }}
  {{- if .settings }}
  - name: settings
    configMap: { name: {{ .root.Release.Name }}-settings }
  {{- end }}
{{- end }}

{{/* The container, but for its command, ports and probes. */}}
{{- define "worker.container" -}}
name: worker
image: {{ include "worker.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
env:
  - { name: WORKER_DATABASE, value: {{ get .root.Values.databases .component | default .root.Values.database | quote }} }
  - { name: WORKER_DATABASE__PASSWORD__FILE, value: /run/secrets/database }
  {{- if has "broker" .secrets }}
  - { name: WORKER_BROKER, value: {{ .root.Values.broker | quote }} }
  - { name: WORKER_BROKER__PASSWORD__FILE, value: /run/secrets/broker }
  {{- end }}
  {{- if not .settings }}
  - { name: WORKER_CONFIG, value: "" }
  {{- end }}
  {{- with .root.Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: secrets, mountPath: /run/secrets, readOnly: true }
  {{- if .settings }}
  - { name: settings, mountPath: /etc/worker, readOnly: true }
  {{- end }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{- define "worker.spread" -}}
topologySpreadConstraints:
  {{- range tuple "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "worker.labels" $ | nindent 8 }}
  {{- end }}
{{- end }}
