{{- define "sts.fullname" -}}
{{- .Values.fullnameOverride | default "sts-credential-operator" -}}
{{- end }}

{{- define "sts.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sts.fullname" .) -}}
{{- end }}

{{- define "sts.selectorLabels" -}}
app.kubernetes.io/name: sts-credential-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sts.labels" -}}
{{ include "sts.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sts.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .repository }}
{{- with .tag | default (ternary "" $.Chart.AppVersion (not (empty .digest))) }}:{{ . }}{{ end }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* Who the operator is to STS: Secret, RRSAWebhook, RRSAToken, ECSRole or nothing. */ -}}
{{- define "sts.identity" -}}
{{- with .Values.identity -}}
{{- if .existingSecret }}Secret
{{- else if .rrsa.roleName }}RRSAWebhook
{{- else if .rrsa.roleARN }}RRSAToken
{{- else if .ecsRole.enabled }}ECSRole
{{- end }}
{{- end -}}
{{- end }}

{{- define "sts.subject" -}}
- kind: ServiceAccount
  name: {{ include "sts.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
