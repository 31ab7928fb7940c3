{{- /* The operator's rights, as config/rbac/role.yaml has them. A test compares. */ -}}

{{- /* On what has no namespace, and to serve metrics. */ -}}
{{- define "sts.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
- apiGroups: [sts.alibabacloud.com]
  resources: [stsrolegrants]
  verbs: [get, list, watch]
{{- if and .Values.metrics.enabled .Values.metrics.secure }}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end }}

{{- /* On credentials, in each namespace that the operator works in. */ -}}
{{- define "sts.credentialRules" -}}
- apiGroups: [sts.alibabacloud.com]
  resources: [stscredentials]
  verbs: [get, list, watch, patch]
- apiGroups: [sts.alibabacloud.com]
  resources: [stscredentials/status]
  verbs: [update]
- apiGroups: [sts.alibabacloud.com]
  resources: [stscredentials/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "sts.tokenRules" -}}
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}

{{- /* What a feature needs, in each namespace that the operator works in. */ -}}
{{- define "sts.featureRules" -}}
{{- if .Values.serviceAccountIdentity.allServiceAccounts }}
{{- include "sts.tokenRules" . }}
{{- end }}
{{- if or .Values.trackConsumers.enabled .Values.rollouts.enabled }}
{{ include "sts.podRules" . }}
{{- end }}
{{- if .Values.rollouts.enabled }}
{{ include "sts.workloadRules" . }}
{{- end }}
{{- end }}

{{- define "sts.podRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- end }}

{{- define "sts.workloadRules" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, patch]
- apiGroups: [apps.kruise.io]
  resources: [clonesets]
  verbs: [get, patch]
{{- end }}

{{- define "sts.leaderElectionRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
