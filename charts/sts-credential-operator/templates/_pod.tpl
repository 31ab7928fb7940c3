{{- /* What the operator's pods and the test's have in common. */ -}}

{{- /* Labels of the pods: those of the values, which change no selector. */ -}}
{{- define "sts.podLabels" -}}
{{- $own := include "sts.selectorLabels" . | fromYaml }}
{{- if eq (include "sts.identity" .) "RRSAWebhook" }}
{{- $_ := set $own "pod-identity.alibabacloud.com/injection" "on" }}
{{- end }}
{{- merge $own (deepCopy (.Values.podLabels | default dict)) (include "sts.partLabels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "sts.podSpec" -}}
serviceAccountName: {{ include "sts.serviceAccountName" . | quote }}
{{- with include "sts.imagePullSecrets" . | fromYamlArray }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (kindIs "invalid" .Values.enableServiceLinks) }}
enableServiceLinks: {{ .Values.enableServiceLinks }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The Secrets of all charts and of this one, as a list of names: some charts write global ones as strings. */ -}}
{{- define "sts.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- uniq $secrets | toYaml }}
{{- end }}

{{- /* The fields for what a pod of the test mounts. The operator mounts its certificate too. */ -}}
{{- define "sts.volumesField" -}}
{{- with include "sts.volumes" . | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sts.volumeMountsField" -}}
{{- with include "sts.volumeMounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sts.container" -}}
{{ include "sts.containerBase" . }}
{{- with printf "%s%s%s" (include "sts.identityEnv" .) (include "sts.memoryEnv" .) (include "sts.env" .) | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "sts.envFrom" . | trim }}
envFrom:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sts.containerBase" -}}
image: {{ include "sts.image" . | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sts.identityEnv" -}}
{{- $identity := include "sts.identity" . -}}
{{- if eq $identity "RRSAToken" }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ .Values.identity.rrsa.roleARN | quote }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ .Values.identity.rrsa.oidcProviderARN | default .Values.oidcProviderARN | quote }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/sts-credential-operator/token
{{- end }}
{{- if ne $identity "ECSRole" }}
- name: ALIBABA_CLOUD_ECS_METADATA_DISABLED
  value: "true"
{{- else if .Values.identity.ecsRole.name }}
- name: ALIBABA_CLOUD_ECS_METADATA
  value: {{ .Values.identity.ecsRole.name | quote }}
{{- end }}
{{- end }}

{{- define "sts.memoryEnv" -}}
{{- with .Values.goMemLimit }}
- name: GOMEMLIMIT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "sts.env" -}}
{{- range $key, $variable := dict "https" "HTTPS_PROXY" "http" "HTTP_PROXY" "noProxy" "NO_PROXY" }}
{{- with index $.Values.proxy $key }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if or .Values.caBundle.existingConfigMap .Values.caBundle.existingSecret }}
- name: SSL_CERT_DIR
  value: /etc/ssl/certs:/etc/pki/tls/certs:/etc/sts-credential-operator/ca
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sts.envFrom" -}}
{{- with .Values.identity.existingSecret }}
- secretRef:
    name: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sts.volumes" -}}
{{- if eq (include "sts.identity" .) "RRSAToken" }}
- name: oidc-token
  projected:
    sources:
      - serviceAccountToken:
          audience: sts.aliyuncs.com
          expirationSeconds: {{ .Values.identity.rrsa.tokenExpirationSeconds }}
          path: token
{{- end }}
{{- with .Values.caBundle }}
{{- if .existingConfigMap }}
- name: ca-bundle
  configMap:
    name: {{ .existingConfigMap | quote }}
{{- else if .existingSecret }}
- name: ca-bundle
  secret:
    secretName: {{ .existingSecret | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sts.volumeMounts" -}}
{{- if eq (include "sts.identity" .) "RRSAToken" }}
- name: oidc-token
  mountPath: /var/run/secrets/sts-credential-operator
  readOnly: true
{{- end }}
{{- if or .Values.caBundle.existingConfigMap .Values.caBundle.existingSecret }}
- name: ca-bundle
  mountPath: /etc/sts-credential-operator/ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sts.certificateVolume" -}}
{{- with include "sts.metricsCertificate" . | trim }}
- name: metrics-certificate
  secret:
    secretName: {{ . | quote }}
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}
{{- end }}

{{- define "sts.certificateMount" -}}
{{- if include "sts.metricsCertificate" . | trim }}
- name: metrics-certificate
  mountPath: /etc/sts-credential-operator/metrics
  readOnly: true
{{- end }}
{{- end }}

{{- /* Where STS is and how it is asked: what the test needs too. */ -}}
{{- define "sts.stsArgs" -}}
{{- with .Values.region }}
- --region={{ . }}
{{- end }}
{{- if .Values.vpcEndpoint }}
- --vpc-endpoint
{{- end }}
{{- with .Values.stsEndpoint }}
- --sts-endpoint={{ . }}
{{- end }}
- --sts-timeout={{ .Values.sts.timeout }}
{{- end }}

{{- define "sts.args" -}}
- --leader-elect={{ .Values.leaderElection.enabled }}
{{- if .Values.leaderElection.enabled }}
- --leader-election-id={{ .Values.leaderElection.id | default (include "sts.fullname" .) }}
{{- range $flag, $value := dict "lease-duration" .Values.leaderElection.leaseDuration "renew-deadline" .Values.leaderElection.renewDeadline "retry-period" .Values.leaderElection.retryPeriod }}
{{- with $value }}
- --leader-election-{{ $flag }}={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{ include "sts.stsArgs" . | trim }}
- --sts-qps={{ .Values.sts.qps }}
- --sts-burst={{ int .Values.sts.burst }}
{{- with .Values.clusterName }}
- --cluster-name={{ . }}
{{- end }}
{{- if .Values.serviceAccountIdentity.enabled }}
- --service-account-identity
{{- end }}
{{- with .Values.oidcProviderARN }}
- --oidc-provider-arn={{ . }}
{{- end }}
{{- if .Values.trackConsumers.enabled }}
- --track-consumers
{{- end }}
{{- if .Values.rollouts.enabled }}
- --rollouts
{{- end }}
{{- with .Values.namespaces }}
- --namespaces={{ join "," . }}
{{- end }}
{{- with .Values.selector }}
- {{ printf "--selector=%s" . | quote }}
{{- end }}
- --max-concurrent-reconciles={{ int .Values.maxConcurrentReconciles }}
- --kube-api-qps={{ .Values.kubeAPI.qps }}
- --kube-api-burst={{ int .Values.kubeAPI.burst }}
{{- if .Values.metrics.enabled }}
- --metrics-bind-address=:{{ int .Values.metrics.port }}
- --metrics-secure={{ .Values.metrics.secure }}
{{- if include "sts.metricsCertificate" . | trim }}
- --metrics-cert-dir=/etc/sts-credential-operator/metrics
{{- end }}
{{- else }}
- --metrics-bind-address=0
{{- end }}
- --health-probe-bind-address={{ with int .Values.probes.port }}:{{ . }}{{ else }}0{{ end }}
- --zap-log-level={{ .Values.log.level }}
- --zap-encoder={{ .Values.log.encoding }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
