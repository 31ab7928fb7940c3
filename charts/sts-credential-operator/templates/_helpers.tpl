{{- /* The name of the release does not matter by default, because RAM trusts a ServiceAccount by its name. */ -}}
{{- define "sts.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if not .Values.nameOverride }}sts-credential-operator
{{- else if contains .Values.nameOverride .Release.Name }}{{ .Release.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name .Values.nameOverride | trunc 42 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "sts.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "sts.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sts.fullname" .) -}}
{{- end }}

{{- define "sts.selectorLabels" -}}
app.kubernetes.io/name: sts-credential-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* Labels that no value changes: selectors and Helm depend on them. */ -}}
{{- define "sts.fixedLabels" -}}
{{ include "sts.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." }}
{{- end }}

{{- define "sts.partLabels" -}}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: sts-credential-operator
{{- end }}

{{- define "sts.labels" -}}
{{- merge (include "sts.fixedLabels" . | fromYaml) (deepCopy (.Values.commonLabels | default dict)) (include "sts.partLabels" . | fromYaml) | toYaml }}
{{- end }}

{{- /* The registry with a slash. Nothing if the repository names one, as registry.example.com/team/operator does. */ -}}
{{- define "sts.registry" -}}
{{- $first := splitList "/" .Values.image.repository | first }}
{{- if not (and (contains "/" .Values.image.repository) (or (contains "." $first) (contains ":" $first) (eq $first "localhost"))) }}
{{- with (.Values.global).imageRegistry | default .Values.image.registry }}{{ trimSuffix "/" . }}/{{ else }}
{{- fail "no registry is set, and no public image has this name. Add --set image.registry=<registry that the nodes pull from>, or global.imageRegistry. For an image that was loaded onto the nodes, add --set image.registry=docker.io/library" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sts.image" -}}
{{- include "sts.registry" . | trim }}{{ with .Values.image }}{{ .repository }}
{{- with .tag | default (ternary "" $.Chart.AppVersion (not (empty .digest))) }}:{{ . }}{{ end }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* Whether the CRDs belong to the release. crds.install is the older name of crds.enabled. */ -}}
{{- define "sts.crds" -}}
{{- if and .Values.crds.enabled (ne (toString .Values.crds.install) "false") }}true{{ end -}}
{{- end }}

{{- /* The Secret with the certificate of the metrics, if there is one. */ -}}
{{- define "sts.metricsCertificate" -}}
{{- with .Values.metrics }}
{{- if and .enabled .secure }}
{{- if .certificate.existingSecret }}{{ .certificate.existingSecret }}
{{- else if .certificate.certManager.enabled }}{{ include "sts.fullname" $ }}-metrics
{{- end }}
{{- end }}
{{- end }}
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
  name: {{ include "sts.serviceAccountName" . | quote }}
  namespace: {{ include "sts.namespace" . | quote }}
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
