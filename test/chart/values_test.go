// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Values reach the objects that they are about.
func TestValues(t *testing.T) {
	const deployment, monitor = "Deployment sts-system/sts-credential-operator", "ServiceMonitor sts-system/sts-credential-operator"
	for _, tt := range []struct{ name, given, key, has, lacks string }{
		{"a registry", "image: {registry: r.example.com/}", deployment, "image:r.example.com/sts-credential-operator:dev ", "registry.example.com"},
		{"the registry of all charts", "global: {imageRegistry: r.example.com/mirror}", deployment, "image:r.example.com/mirror/sts-credential-operator:dev ", "registry.example.com"},
		{"a repository with a registry", "image: {registry: '', repository: 'localhost:5000/op', tag: v1}", deployment, "image:localhost:5000/op:v1 ", "registry.example.com"},
		{"a repository with a registry, and others", "image: {repository: r.example.com/op}\nglobal: {imageRegistry: g.example.com}", deployment, "image:r.example.com/op:dev ", "g.example.com"},
		{"images on the nodes", "image: {registry: docker.io/library}", deployment, "image:docker.io/library/sts-credential-operator:dev ", "registry.example.com"},
		{"the agent's image", "agent: {injection: {enabled: true}}", "MutatingAdmissionPolicy " + fullName + "-agent", "'registry.example.com/sts-credential-operator:dev'", ""},
		{"pull Secrets", "global: {imagePullSecrets: [a, {name: b}]}\nimagePullSecrets: [{name: b}, {name: c}]", deployment,
			"imagePullSecrets:[map[name:a] map[name:b] map[name:c]]", ""},
		{"DNS settings", "dnsConfig: {nameservers: [10.0.0.10]}", deployment, "dnsConfig:map[nameservers:[10.0.0.10]]", ""},
		{"hosts", "hostAliases: [{ip: 10.0.0.8, hostnames: [a, b]}]", deployment, "hostAliases:[map[hostnames:[a b] ip:10.0.0.8]]", ""},
		{"a strategy", "strategy: {type: Recreate}", deployment, "strategy:map[type:Recreate]", ""},
		{"no strategy", "", deployment, "replicas:2", "strategy"},
		{"old ReplicaSets", "revisionHistoryLimit: 0", deployment, "revisionHistoryLimit:0", ""},
		{"no token", "automountServiceAccountToken: false", deployment, "automountServiceAccountToken:false", ""},
		{"a token by default", "", deployment, "automountServiceAccountToken:true", ""},
		{"no variables of Services by default", "", deployment, "enableServiceLinks:false", ""},
		{"variables of Services", "enableServiceLinks: true", deployment, "enableServiceLinks:true", ""},
		{"lease timings", "leaderElection: {leaseDuration: 1m, renewDeadline: 40s, retryPeriod: 5s}", deployment,
			"--leader-election-lease-duration=1m --leader-election-renew-deadline=40s --leader-election-retry-period=5s", ""},
		{"no lease", "replicaCount: 1\nleaderElection: {enabled: false}", deployment, "--leader-elect=false", "--leader-election-"},
		{"a name after the release's", "nameOverride: operator", "Deployment sts-system/sts-operator", "--leader-election-id=sts-operator", ""},
		{"a name that the release's contains", "nameOverride: sts", "Deployment sts-system/sts", "serviceAccountName:sts ", ""},
		{"two names", "nameOverride: operator\nfullnameOverride: full", "Deployment sts-system/full", "serviceAccountName:full ", ""},
		{"another namespace", "namespaceOverride: shop", "ValidatingAdmissionPolicy sts-credential-operator-secrets",
			"system:serviceaccount:shop:sts-credential-operator", "sts-system"},
		{"a certificate in a Secret", "metrics: {certificate: {existingSecret: tls}}", deployment, "--metrics-cert-dir=/etc/sts-credential-operator/metrics", ""},
		{"its volume", "metrics: {certificate: {existingSecret: tls}}", deployment, "secretName:tls]", "sts-credential-operator-metrics"},
		{"its check", "metrics: {certificate: {existingSecret: tls}, serviceMonitor: {enabled: true}}", monitor,
			"tlsConfig:map[ca:map[secret:map[key:ca.crt name:tls]] serverName:sts-credential-operator-metrics.sts-system.svc]", "insecureSkipVerify"},
		{"another check", "metrics: {certificate: {existingSecret: tls}, serviceMonitor: {enabled: true, tlsConfig: {serverName: a}}}", monitor,
			"tlsConfig:map[serverName:a]", "insecureSkipVerify"},
		{"a certificate not of the test's", "metrics: {certificate: {existingSecret: tls}}", "Pod sts-system/sts-credential-operator-test-identity", "--whoami", "tls"},
		{"a self-signed Issuer", "metrics: {certificate: {certManager: {enabled: true}}}", "Certificate sts-system/sts-credential-operator-metrics",
			"issuerRef:map[group:cert-manager.io kind:Issuer name:sts-credential-operator-metrics]", ""},
		{"an Issuer", "metrics: {certificate: {certManager: {enabled: true, issuerRef: {name: ca, kind: ClusterIssuer}}}}", "Certificate sts-system/sts-credential-operator-metrics",
			"issuerRef:map[group:cert-manager.io kind:ClusterIssuer name:ca]", ""},
		{"a token for Prometheus", "metrics: {serviceMonitor: {enabled: true}}", monitor,
			"authorization:map[credentials:map[key:token name:sts-credential-operator-metrics-reader]]", "bearerTokenFile"},
		{"a token where the monitor is", "metrics: {podMonitor: {enabled: true, namespace: monitoring}}", "Secret monitoring/sts-credential-operator-metrics-reader",
			"type:kubernetes.io/service-account-token", ""},
		{"the right of that token", "metrics: {podMonitor: {enabled: true, namespace: monitoring}}", "ClusterRoleBinding sts-credential-operator-metrics",
			"name:sts-credential-operator-metrics-reader namespace:monitoring", "sts-system"},
		{"another token", "metrics: {serviceMonitor: {enabled: true, authorization: {credentials: {name: a, key: b}}}}", monitor,
			"authorization:map[credentials:map[key:b name:a]]", "metrics-reader"},
		{"Prometheus' own token", "metrics: {serviceMonitor: {enabled: true, bearerTokenFile: /token}}", monitor, "bearerTokenFile:/token", "authorization"},
		{"an object more", `extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-a"}}]`, "ConfigMap sts-a", "", ""},
		{"an object as a string", `extraObjects: ["{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}-a}}"]`, "ConfigMap sts-a", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			object := fmt.Sprint(rendered(t, tt.given).get(t, tt.key).Object)
			if !strings.Contains(object, tt.has) || tt.lacks != "" && strings.Contains(object, tt.lacks) {
				t.Errorf("want %q and not %q in\n%s", tt.has, tt.lacks, object)
			}
		})
	}
}

// namespaceOverride moves every object that is in the release's namespace.
func TestNamespaceOverride(t *testing.T) {
	const given = "namespaceOverride: shop\nidentity: {existingSecret: ram-user}\nnetworkPolicy: {enabled: true}\n" +
		"metrics: {certificate: {certManager: {enabled: true}}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}\n" +
		"test: {roleARN: 'acs:ram::1234567890123456:role/shop-test'}\n"
	for key, object := range rendered(t, given) {
		if strings.Contains(fmt.Sprint(object.Object), namespace) {
			t.Errorf("%s names %s: %v", key, namespace, object.Object)
		}
	}
}

// Labels of the values change none that a selector or Helm uses, and no key is written twice: YAML with such a key is an error
// for some readers, and for others the last one wins.
func TestLabels(t *testing.T) {
	const labels = "{app.kubernetes.io/name: other, app.kubernetes.io/instance: other, app.kubernetes.io/managed-by: other, app.kubernetes.io/component: other, " +
		"app.kubernetes.io/part-of: other, helm.sh/chart: other, pod-identity.alibabacloud.com/injection: other, rbac.authorization.k8s.io/aggregate-to-view: other, team: a}"
	given := "commonLabels: " + labels + "\npodLabels: " + labels + "\npodAnnotations: {helm.sh/hook: other, kubectl.kubernetes.io/default-container: other}\n" +
		"identity: {rrsa: {roleName: sts-operator}}\ntest: {roleARN: 'acs:ram::1234567890123456:role/shop-test', labels: " + labels + "}\n" +
		"metrics: {serviceMonitor: {enabled: true, labels: " + labels + "}}\n"
	out, err := template(t, given)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range duplicates(out) {
		t.Errorf("a key is there twice: %s", key)
	}
	o := parse(t, out)
	for key, object := range o {
		labels := object.GetLabels()
		if labels["app.kubernetes.io/instance"] != release || labels["app.kubernetes.io/managed-by"] != "Helm" || labels["app.kubernetes.io/name"] == "other" ||
			labels["app.kubernetes.io/part-of"] != "other" || labels["team"] != "a" {
			t.Errorf("%s has the labels %v", key, labels)
		}
	}
	deployment := fmt.Sprint(o.get(t, "Deployment "+namespace+"/"+fullName).Object["spec"])
	const want = "template:map[metadata:map[annotations:map[helm.sh/hook:other kubectl.kubernetes.io/default-container:manager] labels:map[" +
		"app.kubernetes.io/component:other app.kubernetes.io/instance:sts app.kubernetes.io/managed-by:other app.kubernetes.io/name:sts-credential-operator " +
		"app.kubernetes.io/part-of:other helm.sh/chart:other pod-identity.alibabacloud.com/injection:on "
	if !strings.Contains(deployment, want) {
		t.Errorf("want %s in\n%s", want, deployment)
	}
	if view := o.get(t, "ClusterRole "+fullName+"-view").GetLabels(); view["rbac.authorization.k8s.io/aggregate-to-view"] != "true" {
		t.Errorf("the role for users has %v", view)
	}
	plain := rendered(t, "").get(t, "Deployment "+namespace+"/"+fullName).GetLabels()
	if plain["app.kubernetes.io/component"] != "controller" || plain["app.kubernetes.io/part-of"] != fullName {
		t.Errorf("by default %v", plain)
	}
}

// duplicates are keys that follow each other's block at one indentation under one parent, as labels and annotations do.
func duplicates(documents string) (found []string) {
	entry := regexp.MustCompile(`^( *)([A-Za-z0-9./-]+):`)
	seen, indent := map[string]bool{}, -1
	for line := range strings.Lines(documents) {
		m := entry.FindStringSubmatch(line)
		if m == nil || len(m[1]) != indent {
			seen, indent = map[string]bool{}, -1
		}
		if m == nil {
			continue
		}
		if seen[m[2]] {
			found = append(found, strings.TrimSpace(line))
		}
		seen[m[2]], indent = true, len(m[1])
	}
	return found
}

// The older name of crds.enabled is read, and the notes say how it is called now.
func TestOlderNames(t *testing.T) {
	const crd = "CustomResourceDefinition " + credentials
	for given, want := range map[string]bool{
		"": true, "crds: {enabled: false}": false, "crds: {install: false}": false, "crds: {install: true}": true, "crds: {install: true, enabled: false}": false,
	} {
		if got := rendered(t, given)[crd] != nil; got != want {
			t.Errorf("%q: the CRD is rendered: %v", given, got)
		}
	}
	notes := func(given string) string {
		out, err := helm(t, given, "install", release, chart, "--dry-run=client", "--values=-")
		if err != nil {
			t.Fatal(err)
		}
		_, notes, _ := strings.Cut(out, "NOTES:")
		return notes
	}
	got := notes("crds: {install: true}\nmetrics: {serviceMonitor: {enabled: true, bearerTokenFile: /token}}")
	for _, want := range []string{"! crds.install is now called crds.enabled", "! metrics.serviceMonitor.bearerTokenFile is deprecated"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := notes(""); strings.Contains(got, "crds.install") || strings.Contains(got, "bearerTokenFile") {
		t.Errorf("notes about older names by default:\n%s", got)
	}
}

// The values that docs/monitoring.md shows are values.
func TestMonitoringValues(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)<!-- run: TestMonitoringValues -->\n```yaml\n(.*?)```\n").FindStringSubmatch(string(page))
	if example == nil {
		t.Fatal("no example")
	}
	monitor := fmt.Sprint(rendered(t, example[1]).get(t, "ServiceMonitor "+namespace+"/"+fullName).Object)
	if !strings.Contains(monitor, "ca:map[secret:map[key:ca.crt name:sts-credential-operator-metrics]]") {
		t.Errorf("the monitor does not verify the certificate: %s", monitor)
	}
}
