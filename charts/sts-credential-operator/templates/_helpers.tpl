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

{{- /* The version of MutatingAdmissionPolicy that the cluster serves: v1, v1beta1 or nothing. */ -}}
{{- define "sts.injectionVersion" -}}
{{- range list "v1" "v1beta1" -}}
{{- if $.Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/%s/MutatingAdmissionPolicy" .) }}{{ . }}{{ break }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* The namespaces whose pods may get the agent, as a label selector. Empty means all. */ -}}
{{- define "sts.injectionNamespaces" -}}
{{- $injection := .Values.agent.injection }}
{{- $selector := deepCopy ($injection.namespaceSelector | default dict) }}
{{- with $injection.namespaces | default .Values.namespaces }}
{{- $expression := dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" . }}
{{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $expression) }}
{{- end }}
{{- with $selector }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- /* Requests and limits as an expression of CEL, whose maps have values of one type. */ -}}
{{- define "sts.injectionResources" -}}
{{- $resources := dict }}
{{- range $kind, $quantities := .Values.agent.injection.resources | default dict }}
{{- $strings := dict }}
{{- range $name, $quantity := $quantities | default dict }}
{{- if not (kindIs "invalid" $quantity) }}{{ $_ := set $strings $name (toString $quantity) }}{{ end }}
{{- end }}
{{- if $strings }}{{ $_ := set $resources $kind $strings }}{{ end }}
{{- end }}
{{- $resources | toJson | replace "\"" "'" | replace ":" ": " | replace "," ", " }}
{{- end }}
