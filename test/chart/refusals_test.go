// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	if out, err := helm(t, "", "lint", "--strict", chart); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The values that the README shows are values.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n").FindAllStringSubmatch(string(readme), -1)
	if len(examples) < 10 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		rendered(t, example[1], "--api-versions=sts.alibabacloud.com/v1alpha1/StsRoleGrant")
	}
}

// What is no value, or cannot work, is refused with words that help.
func TestRefusals(t *testing.T) {
	const arn = "acs:ram::1234567890123456:"
	for _, tt := range []struct{ name, given, want string }{
		{"a typo", "replicas: 3", "additional properties 'replicas' not allowed"},
		{"a typo within", "leaderElection: {enable: true}", "additional properties 'enable' not allowed"},
		{"a key in values", "identity: {accessKeyID: LTAI, accessKeySecret: s}", "additional properties 'accessKey"},
		{"a key as environment", "extraEnv: [{name: ALIBABA_CLOUD_ACCESS_KEY_SECRET, value: s}]", "put it in a Secret and name that in identity.existingSecret"},
		{"a password in a proxy", `proxy: {https: "http://user:word@proxy:3128"}`, "put HTTPS_PROXY in a Secret"},
		{"another type", `replicaCount: "2"`, "at '/replicaCount': got string, want integer"},
		{"a URL without a scheme", "stsEndpoint: sts.example.com", "at '/stsEndpoint': 'sts.example.com' does not match pattern"},
		{"a long cluster name", "clusterName: twenty-one-characters", "at '/clusterName'"},
		{"a duration without a unit", `sts: {timeout: "10"}`, "at '/sts/timeout'"},
		{"no calls at all", "sts: {qps: 0}", "at '/sts/qps'"},
		{"a provider that is no ARN", "oidcProviderARN: ack-rrsa-c1", "at '/oidcProviderARN'"},
		{"a role that is no ARN", "identity: {rrsa: {roleARN: sts-operator}}", "at '/identity/rrsa/roleARN'"},
		{"an ARN as a role's name", "identity: {rrsa: {roleName: '" + arn + "role/a'}}", "at '/identity/rrsa/roleName'"},
		{"a token that lives too short", "identity: {rrsa: {tokenExpirationSeconds: 60}}", "minimum: got 60, want 600"},
		{"a digest without its algorithm", "image: {digest: abc}", "at '/image/digest'"},
		{"a namespace that cannot be", "namespaces: [Shop]", "at '/namespaces/0'"},
		{"a namespace twice", "namespaces: [shop, shop]", "items at 0 and 1 are equal"},
		{"a role grant for nobody", "roleGrants: [{name: a, namespaces: {}, roleARNs: ['" + arn + "role/a']}]", "at '/roleGrants/0/namespaces'"},
		{"a role grant with a typo", "roleGrants: [{name: a, namespaces: {names: [a]}, roleArns: ['" + arn + "role/a']}]", "missing property 'roleARNs'"},
		{"an argument that is no flag", "extraArgs: [start]", "at '/extraArgs/0'"},
		{"two identities", "identity: {existingSecret: a, ecsRole: {enabled: true}}", "set only one of identity.existingSecret, identity.ecsRole.enabled"},
		{"a role without its provider", "identity: {rrsa: {roleARN: '" + arn + "role/a'}}", "needs identity.rrsa.oidcProviderARN"},
		{"RRSA for no ServiceAccount", "identity: {rrsa: {roleName: a}}\nserviceAccount: {create: false}", "needs serviceAccount.name"},
		{"two that both work", "leaderElection: {enabled: false}", "replicaCount above 1 needs leaderElection.enabled"},
		{"rights for what is off", "serviceAccountIdentity: {allServiceAccounts: true}", "need serviceAccountIdentity.enabled"},
		{"cluster-admin by the back door", "serviceAccountIdentity: {enabled: true, allServiceAccounts: true}\nadmissionPolicies: {enabled: false}", "amounts to cluster-admin"},
		{"two bundles", "caBundle: {existingConfigMap: a, existingSecret: b}", "set only one of caBundle"},
		{"two monitors", "metrics: {serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}", "count everything twice"},
		{"alerts without metrics", "metrics: {enabled: false, prometheusRule: {enabled: true}}", "need metrics.enabled"},
		{"a monitor of nothing", "metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}", "needs metrics.service.enabled"},
		{"no registry", "image: {registry: ''}", "Add --set image.registry=<registry that the nodes pull from>, or global.imageRegistry"},
		{"no registry but a namespace", "image: {registry: '', repository: team/operator, digest: 'sha256:" + zeros + "'}", "no registry is set"},
		{"a lease of half seconds", "leaderElection: {leaseDuration: soon}", "at '/leaderElection/leaseDuration'"},
		{"two certificates", "metrics: {certificate: {existingSecret: a, certManager: {enabled: true}}}", "set only one of metrics.certificate.existingSecret"},
		{"a registry with a scheme", "global: {imageRegistry: 'https://r.example.com'}", "at '/global/imageRegistry'"},
		{"an Issuer without a name", "metrics: {certificate: {certManager: {enabled: true, issuerRef: {kind: ClusterIssuer}}}}", "issuerRef needs a name"},
		{"CRDs that may be kept or not", "crds: {keep: null}", "at '/crds': missing property 'keep'"},
		{"a certificate for plain HTTP", "metrics: {secure: false, certificate: {existingSecret: a}}", "metrics.certificate needs metrics.enabled and metrics.secure"},
		{"a certificate authority elsewhere", "metrics: {certificate: {existingSecret: a}, podMonitor: {enabled: true, namespace: monitoring}}",
			"set metrics.podMonitor.tlsConfig, with the serverName sts-credential-operator-metrics.sts-system.svc"},
		{"an unknown strategy", "strategy: {type: Rolling}", "at '/strategy/type'"},
		{"a host without names", "hostAliases: [{ip: 10.0.0.1, hostnames: []}]", "at '/hostAliases/0/hostnames'"},
		{"a long name", "nameOverride: " + zeros, "at '/nameOverride'"},
		{"code in an agent's image", "agent: {injection: {enabled: true, image: \"a' + 'b\"}}", "at '/agent/injection/image'"},
		{"a quantity that is none", "agent: {injection: {resources: {limits: {cpu: \"a'b\"}}}}", "at '/agent/injection/resources/limits/cpu'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := template(t, tt.given)
			if err == nil {
				t.Fatalf("rendered:\n%s", out)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("refused with %v\nwant %q", err, tt.want)
			}
		})
	}
	t.Run("an old Kubernetes", func(t *testing.T) {
		_, err := template(t, "", "--kube-version=1.29.9")
		if err == nil || !strings.Contains(err.Error(), "requires kubeVersion: >=1.30") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("agents without the API", func(t *testing.T) {
		_, err := helm(t, "agent: {injection: {enabled: true}}", "template", release, chart, "--kube-version=1.33.0", "--values=-")
		if err == nil || !strings.Contains(err.Error(), "agent.injection.enabled needs the API MutatingAdmissionPolicy") {
			t.Errorf("got %v", err)
		}
	})
}
