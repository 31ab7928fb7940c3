// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"strings"
	"testing"
)

// digits is a name that YAML reads as a number unless it is quoted.
const digits = "4711"

// Names and namespaces may consist of digits only.
func TestNamesOfDigits(t *testing.T) {
	const common = `
fullnameOverride: "4711"
namespaces: ["4711"]
identity: {existingSecret: "4711"}
serviceAccount: {name: "4711"}
serviceAccountIdentity: {enabled: true, serviceAccounts: [{namespace: "4711", name: "4711"}]}
imagePullSecrets: [{name: "4711"}]
priorityClassName: "4711"
leaderElection: {id: "4711"}
agent: {injection: {enabled: true}}
networkPolicy: {enabled: true}
roleGrants: [{name: "4711", namespaces: {names: ["4711"]}, roleARNs: ["acs:ram::1234567890123456:role/shop-*"]}]
test: {roleARN: "acs:ram::1234567890123456:role/shop-test"}
`
	for name, tt := range map[string]struct{ values, option string }{
		"with a ServiceMonitor, in an overridden namespace": {`
namespaceOverride: "4711"
caBundle: {existingConfigMap: "4711"}
metrics:
  certificate: {existingSecret: "4711"}
  readers: [{namespace: "4711", name: "4711"}]
  serviceMonitor: {enabled: true, namespace: "4711"}
  prometheusRule: {enabled: true, namespace: "4711"}
  dashboard: {enabled: true, namespace: "4711"}
`, "--namespace=" + namespace},
		"with a PodMonitor, in the release's namespace": {`
caBundle: {existingSecret: "4711"}
metrics:
  certificate: {certManager: {enabled: true, issuerRef: {name: "4711"}}}
  podMonitor: {enabled: true}
  prometheusRule: {enabled: true}
  dashboard: {enabled: true}
`, "--namespace=" + digits},
	} {
		t.Run(name, func(t *testing.T) {
			o := rendered(t, common+tt.values, tt.option)
			o.get(t, "Deployment "+digits+"/"+digits)
			for key, object := range o {
				wantNoNumber(t, key, object.Object)
			}
		})
	}
}

// wantNoNumber requires that nothing in an object is the number that the name looks like.
func wantNoNumber(t *testing.T, path string, node any) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		for key, below := range node {
			wantNoNumber(t, path+"."+key, below)
		}
	case []any:
		for i, below := range node {
			wantNoNumber(t, fmt.Sprintf("%s[%d]", path, i), below)
		}
	case string:
	default:
		if strings.Contains(fmt.Sprint(node), digits) {
			t.Errorf("%s is the number %v, want a text", path, node)
		}
	}
}
