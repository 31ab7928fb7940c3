// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
)

const everything = `
global: {imageRegistry: registry.example.com/mirror, imagePullSecrets: [shared, {name: registry}]}
replicaCount: 3
image: {registry: registry.example.com/, repository: team/operator, digest: "sha256:` + zeros + `", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
region: cn-shanghai
vpcEndpoint: true
clusterName: c1
identity: {existingSecret: ram-user}
selector: shard in (1,2)
serviceAccountIdentity: {enabled: true, serviceAccounts: [{namespace: shop, name: orders}]}
oidcProviderARN: acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1
trackConsumers: {enabled: true}
rollouts: {enabled: true}
agent: {injection: {enabled: true, namespaces: [shop], namespaceSelector: {matchLabels: {a: b}}, image: "registry.example.com/agent:v1",
  resources: {requests: {cpu: 1}, limits: {memory: 64Mi}}}}
sts: {qps: 0.5, burst: 1, timeout: 1m30s}
leaderElection: {id: shard-1, leaseDuration: 1m, renewDeadline: 40s, retryPeriod: 5s}
metrics:
  port: 9443
  readers: [{namespace: monitoring, name: prometheus}]
  service: {annotations: {a: b}}
  certificate: {certManager: {enabled: true, issuerRef: {name: ca, kind: ClusterIssuer}}}
  serviceMonitor: {enabled: true, namespace: shop, labels: {release: prometheus}, interval: 30s, scrapeTimeout: 10s, tlsConfig: {serverName: operator, ca: {configMap: {name: ca, key: ca.crt}}},
    relabelings: [{targetLabel: cluster, replacement: c1}], metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: go_.*}]}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  dashboard: {enabled: true, annotations: {folder: STS}}
probes: {port: 9081, liveness: {timeoutSeconds: 3}}
log: {level: 2, encoding: console}
resources: {limits: {cpu: "1"}}
priorityClassName: ""
extraEnv: [{name: A, value: b}]
extraEnvFrom: [{configMapRef: {name: a, optional: true}}]
extraVolumes: [{name: v, emptyDir: {}}]
extraVolumeMounts: [{name: v, mountPath: /v}]
extraArgs: [--zap-stacktrace-level=panic]
proxy: {https: "http://proxy:3128", http: "http://proxy:3128", noProxy: 10.0.0.1}
caBundle: {existingConfigMap: ca}
dnsPolicy: Default
dnsConfig: {options: [{name: ndots, value: "2"}]}
hostAliases: [{ip: 10.0.0.8, hostnames: [sts-vpc.cn-shanghai.aliyuncs.com]}]
enableServiceLinks: true
automountServiceAccountToken: false
strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}
revisionHistoryLimit: 3
extraObjects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-object", namespace: sts-system}, data: {image: '{{ include "sts.image" . }}'}}
  - |
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: {{ .Release.Name }}-string, namespace: {{ .Release.Namespace }}}
deploymentAnnotations: {a: b}
podAnnotations: {a: b, kubectl.kubernetes.io/default-container: other, helm.sh/hook: pre-install}
podLabels: {a: b, app.kubernetes.io/name: other, app.kubernetes.io/component: other}
commonLabels: {a: b, app.kubernetes.io/instance: other, app.kubernetes.io/part-of: platform, rbac.authorization.k8s.io/aggregate-to-view: "false"}
nodeSelector: {a: b}
tolerations: [{operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
pdb: {maxUnavailable: 50%}
networkPolicy: {enabled: true, metricsFrom: [{namespaceSelector: {}}], egressTo: [{ipBlock: {cidr: 0.0.0.0/0}}], extraEgress: [{ports: [{port: 5353, protocol: UDP}]}]}
serviceAccount: {name: operator, annotations: {a: b}}
roleGrants: [{name: shop, namespaces: {names: [shop], selector: {matchLabels: {a: b}}}, roleARNs: ["acs:ram::1234567890123456:role/shop-*"], allow: [SessionName], maxDuration: 1h,
  policy: {Version: "1", Statement: [{Effect: Allow, Action: ["ots:Get*"], Resource: ["*"]}]}}]
test: {roleARN: "acs:ram::1234567890123456:role/shop-test", labels: {shard: "1"}}
fullnameOverride: shard-1
`

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// Whatever the values are, a real API server takes every object, without a field that it does not know, and the pods
// where the restricted Pod Security Standard is enforced.
func TestMatrix(t *testing.T) {
	c := newCluster(t)
	c.namespaces(namespace, "shop", "web")
	crds, err := environment.CRDs(t.Context())
	c.must(err)
	certManager, err := environment.CertManagerCRDs(t.Context())
	c.must(err)
	_, err = envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{Paths: append(certManager, crds, root+"/config/crd"), MaxTime: 2 * time.Minute})
	c.must(err)
	c.wantExamples(t)
	for _, tt := range []struct{ name, given, refused string }{
		{name: "defaults"},
		{name: "everything", given: everything},
		{name: "one replica alone", given: "replicaCount: 1\nleaderElection: {enabled: false}"},
		{name: "nothing to be asked for", given: "probes: {port: 0}\nmetrics: {enabled: false}\ntest: {enabled: false}"},
		{name: "RRSA by webhook", given: "identity: {rrsa: {roleName: sts-operator}}"},
		{name: "RRSA by token", given: "identity: {rrsa: {roleARN: 'acs:ram::1234567890123456:role/a', oidcProviderARN: 'acs:ram::1234567890123456:oidc-provider/a'}}"},
		{name: "node's role", given: "identity: {ecsRole: {enabled: true, name: worker}}\nnetworkPolicy: {enabled: true}"},
		{name: "STS elsewhere", given: "stsEndpoint: http://127.0.0.1:9000\nnetworkPolicy: {enabled: true}"},
		{name: "namespaces", given: "namespaces: [shop, web, sts-system]\nserviceAccountIdentity: {enabled: true, allServiceAccounts: true}\nrollouts: {enabled: true}"},
		{name: "no rights", given: "rbac: {create: false}\nserviceAccount: {create: false, name: theirs}\nadmissionPolicies: {enabled: false}"},
		{name: "no added-up roles", given: "rbac: {aggregate: false}"},
		{name: "a tag and a digest", given: "image: {tag: v1, digest: 'sha512:" + zeros + zeros + "'}"},
		{name: "a CA in a Secret", given: "caBundle: {existingSecret: ca}"},
		{name: "a PodMonitor", given: "metrics: {podMonitor: {enabled: true, authorization: {credentials: {name: a, key: b}}}}"},
		{name: "a certificate in a Secret", given: "metrics: {certificate: {existingSecret: tls}, serviceMonitor: {enabled: true}}"},
		{name: "a certificate by cert-manager", given: "metrics: {certificate: {certManager: {enabled: true}}, podMonitor: {enabled: true}}"},
		{name: "Prometheus' own token", given: "metrics: {serviceMonitor: {enabled: true, namespace: shop, bearerTokenFile: /token, tlsConfig: {insecureSkipVerify: true}}}"},
		{name: "another name and namespace", given: "nameOverride: operator\nnamespaceOverride: shop\nmetrics: {serviceMonitor: {enabled: true}}\nnetworkPolicy: {enabled: true}"},
		{name: "replaced, not rolled", given: "strategy: {type: Recreate}\nrevisionHistoryLimit: 0"},
		{name: "open metrics", given: "metrics: {secure: false, serviceMonitor: {enabled: true}}"},
		{name: "nowhere in particular", given: "topologySpreadConstraints: []\npdb: {enabled: false}"},
		{name: "agents for all pods", given: "agent: {injection: {enabled: true}}\nimage: {pullPolicy: Always}"},
		{name: "agents without limits", given: "agent: {injection: {enabled: true, resources: {requests: null, limits: null}}}\nnamespaces: [shop]"},
		{name: "the node's network", given: "hostNetwork: true", refused: "host namespaces"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := rendered(t, tt.given, "--set=crds.enabled=false", "--api-versions=sts.alibabacloud.com/v1alpha1/StsRoleGrant")
			for key, object := range o {
				if object.GetNamespace() == "" && slices.Contains([]string{"Deployment", "Service", "ServiceAccount", "Role", "RoleBinding", "Pod", "PodDisruptionBudget"}, object.GetKind()) {
					t.Errorf("%s names no namespace", key)
				}
				if object.GetKind() == "Pod" && tt.refused != "" || strings.HasPrefix(object.GetKind(), "MutatingAdmissionPolicy") && !c.serves(object.GetAPIVersion()) {
					continue
				}
				if object.GetKind() == "Pod" { // its ServiceAccount is not there in a dry run
					object.Object["spec"].(map[string]any)["serviceAccountName"] = "default"
				}
				if err := c.dryRun(object); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if object.GetKind() == "Deployment" {
					c.wantPod(t, object.Object, tt.refused)
				}
			}
		})
	}
}

func (c *cluster) dryRun(object client.Object) error {
	return c.api.Create(c.Context(), object, client.DryRunAll, client.FieldValidation("Strict"))
}

// wantPod makes the Deployment's pod as its controller would, for the API server's verdict.
func (c *cluster) wantPod(t *testing.T, object map[string]any, refused string) {
	t.Helper()
	deployment := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, deployment); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pod", Labels: deployment.Spec.Template.Labels}, Spec: deployment.Spec.Template.Spec}
	pod.Spec.ServiceAccountName = "default"
	err := c.dryRun(pod)
	if refused == "" && err != nil {
		t.Errorf("the pod: %v", err)
	}
	if refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
		t.Errorf("the pod was met with %v, want %q", err, refused)
	}
	if user := pod.Spec.SecurityContext; user != nil && user.RunAsUser != nil {
		t.Errorf("the pod runs as %d: OpenShift could not choose", *user.RunAsUser)
	}
}
