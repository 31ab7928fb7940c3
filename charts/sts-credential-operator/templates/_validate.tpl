{{- /* What a schema cannot say, or not in words that help. */ -}}
{{- define "sts.validate" -}}
{{- $identities := list }}
{{- with .Values.identity }}
{{- if .existingSecret }}{{ $identities = append $identities "existingSecret" }}{{ end }}
{{- if .rrsa.roleName }}{{ $identities = append $identities "rrsa.roleName" }}{{ end }}
{{- if .rrsa.roleARN }}{{ $identities = append $identities "rrsa.roleARN" }}{{ end }}
{{- if .ecsRole.enabled }}{{ $identities = append $identities "ecsRole.enabled" }}{{ end }}
{{- end }}
{{- if gt (len $identities) 1 }}
{{- fail (printf "the operator has one identity: set only one of identity.%s" (join ", identity." $identities)) }}
{{- end }}
{{- if and .Values.identity.rrsa.roleARN (not (or .Values.identity.rrsa.oidcProviderARN .Values.oidcProviderARN)) }}
{{- fail "identity.rrsa.roleARN needs identity.rrsa.oidcProviderARN: the OIDC provider in RAM that stands for this cluster" }}
{{- end }}
{{- if and .Values.identity.rrsa.roleName (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "identity.rrsa.roleName without serviceAccount.create needs serviceAccount.name: a ServiceAccount that you annotate with pod-identity.alibabacloud.com/role-name" }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if and .value (has .name (list "ALIBABA_CLOUD_ACCESS_KEY_ID" "ALIBABA_CLOUD_ACCESS_KEY_SECRET" "ALIBABA_CLOUD_SECURITY_TOKEN")) }}
{{- fail (printf "extraEnv: %s must not stand in values, which Helm keeps in the cluster and people keep in git: put it in a Secret and name that in identity.existingSecret" .name) }}
{{- end }}
{{- end }}
{{- range $key, $url := pick .Values.proxy "https" "http" }}
{{- if contains "@" $url }}
{{- fail (printf "proxy.%s must not hold a password: put HTTPS_PROXY in a Secret and name that in extraEnvFrom" $key) }}
{{- end }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicaCount above 1 needs leaderElection.enabled: two operators would renew the same credentials" }}
{{- end }}
{{- with .Values.serviceAccountIdentity }}
{{- if and (or .allServiceAccounts .serviceAccounts) (not .enabled) }}
{{- fail "serviceAccountIdentity.serviceAccounts and .allServiceAccounts need serviceAccountIdentity.enabled" }}
{{- end }}
{{- if and .allServiceAccounts (not $.Values.admissionPolicies.enabled) }}
{{- fail "serviceAccountIdentity.allServiceAccounts needs admissionPolicies.enabled: by RBAC alone it amounts to cluster-admin" }}
{{- end }}
{{- end }}
{{- if and .Values.caBundle.existingConfigMap .Values.caBundle.existingSecret }}
{{- fail "set only one of caBundle.existingConfigMap and caBundle.existingSecret" }}
{{- end }}
{{- with .Values.metrics }}
{{- if and (or .serviceMonitor.enabled .podMonitor.enabled .prometheusRule.enabled .dashboard.enabled) (not .enabled) }}
{{- fail "metrics.serviceMonitor, .podMonitor, .prometheusRule and .dashboard need metrics.enabled" }}
{{- end }}
{{- if and .serviceMonitor.enabled .podMonitor.enabled }}
{{- fail "set only one of metrics.serviceMonitor.enabled and metrics.podMonitor.enabled: both would count everything twice" }}
{{- end }}
{{- if and .certificate.existingSecret .certificate.certManager.enabled }}
{{- fail "set only one of metrics.certificate.existingSecret and metrics.certificate.certManager.enabled" }}
{{- end }}
{{- if and .certificate.certManager.issuerRef (not .certificate.certManager.issuerRef.name) }}
{{- fail "metrics.certificate.certManager.issuerRef needs a name: that of the Issuer or ClusterIssuer" }}
{{- end }}
{{- if and (or .certificate.existingSecret .certificate.certManager.enabled) (not (and .enabled .secure)) }}
{{- fail "metrics.certificate needs metrics.enabled and metrics.secure: without them, metrics are not served over HTTPS" }}
{{- end }}
{{- range $name, $monitor := pick . "serviceMonitor" "podMonitor" }}
{{- if and $monitor.enabled (include "sts.metricsCertificate" $ | trim) (not $monitor.tlsConfig) (ne ($monitor.namespace | default (include "sts.namespace" $)) (include "sts.namespace" $)) }}
{{- fail (printf "metrics.%s.namespace is not the release's, and Prometheus reads ca.crt in the namespace of the monitor: set metrics.%s.tlsConfig, with the serverName %s" $name $name (include "sts.metricsHost" $)) }}
{{- end }}
{{- end }}
{{- if and .serviceMonitor.enabled (not .service.enabled) }}
{{- fail "metrics.serviceMonitor needs metrics.service.enabled" }}
{{- end }}
{{- end }}
{{- if and .Values.agent.injection.enabled (not (include "sts.injectionVersion" .)) }}
{{- fail "agent.injection.enabled needs the API MutatingAdmissionPolicy, which the cluster does not serve: it is part of Kubernetes 1.36, and of 1.34 and 1.35 with --runtime-config=admissionregistration.k8s.io/v1beta1=true and --feature-gates=MutatingAdmissionPolicy=true. Without it, add the agent to each workload: see docs/agent.md. For `helm template`, pass --api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- end }}
{{- end }}
