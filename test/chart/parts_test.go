// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// The NetworkPolicy opens the ports that the values speak of, and the metadata service only to whom it is the identity.
func TestNetworkPolicy(t *testing.T) {
	for _, tt := range []struct {
		name, given, ingress string
		egress               []string
	}{
		{"by default", "", "8443", []string{"53", "53", "443", "6443"}},
		{"STS and proxies elsewhere", "stsEndpoint: http://sts.example.com\nproxy: {https: 'http://proxy:3128', http: 'https://proxy'}", "8443",
			[]string{"53", "53", "443", "6443", "80", "3128"}},
		{"the node's role", "identity: {ecsRole: {enabled: true}}", "8443", []string{"53", "53", "443", "6443", "80 to 100.100.100.200/32"}},
		{"other ports", "metrics: {port: 9443}\nnetworkPolicy: {egressPorts: [16443], egressTo: [{ipBlock: {cidr: 10.0.0.0/8}}]}", "9443",
			[]string{"53", "53", "16443 to 10.0.0.0/8"}},
		{"no metrics", "metrics: {enabled: false}", "", []string{"53", "53", "443", "6443"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var policy networkingv1.NetworkPolicy
			o := rendered(t, tt.given, "--set=networkPolicy.enabled=true").get(t, "NetworkPolicy "+namespace+"/"+fullName)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &policy); err != nil {
				t.Fatal(err)
			}
			ingress := ""
			for _, rule := range policy.Spec.Ingress {
				ingress += rule.Ports[0].Port.String()
			}
			var egress []string
			for _, rule := range policy.Spec.Egress {
				for _, port := range rule.Ports {
					to := ""
					if len(rule.To) > 0 {
						to = " to " + rule.To[0].IPBlock.CIDR
					}
					egress = append(egress, port.Port.String()+to)
				}
			}
			if ingress != tt.ingress || !slices.Equal(egress, tt.egress) || len(policy.Spec.PolicyTypes) != 2 {
				t.Errorf("in %q out %q of types %v, want in %q out %q", ingress, egress, policy.Spec.PolicyTypes, tt.ingress, tt.egress)
			}
		})
	}
}

// Alerts and dashboard of the chart are those of config/prometheus, which has its dashboard from the same file, and both
// scrape alike.
func TestMonitoringLikeKustomize(t *testing.T) {
	chart := rendered(t, "metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}")
	kustomize := kustomized(t, "prometheus")
	for key, field := range map[string][]string{
		"PrometheusRule " + namespace + "/" + fullName: {"spec"},
		"ServiceMonitor " + namespace + "/" + fullName: {"spec", "endpoints"},
	} {
		got, _, _ := unstructured.NestedFieldCopy(chart.get(t, key).Object, field...)
		want, _, _ := unstructured.NestedFieldCopy(kustomize.get(t, key).Object, field...)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the chart has\n%v\nconfig/prometheus\n%v", key, got, want)
		}
	}
	dashboard, err := os.ReadFile("../../charts/sts-credential-operator/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(chart.get(t, "ConfigMap "+namespace+"/"+fullName+"-dashboard").Object, "data", "sts-credential-operator.json"); strings.TrimSpace(got) != strings.TrimSpace(string(dashboard)) {
		t.Error("the ConfigMap holds another dashboard than the file")
	}
}

// Who the operator is reaches its pods in the way that each source wants it.
func TestIdentities(t *testing.T) {
	const arn = "acs:ram::1234567890123456:"
	for _, tt := range []struct{ name, given, has, lacks string }{
		{"a Secret", "identity: {existingSecret: ram-user}", "name:ram-user", "OIDC"},
		{"RRSA by webhook", "identity: {rrsa: {roleName: sts-operator}}", "pod-identity.alibabacloud.com/injection:on", "ALIBABA_CLOUD_ROLE_ARN"},
		{"RRSA by token", "identity: {rrsa: {roleARN: '" + arn + "role/a'}}\noidcProviderARN: " + arn + "oidc-provider/b", "audience:sts.aliyuncs.com", "pod-identity"},
		{"the node's role", "identity: {ecsRole: {enabled: true, name: worker}}", "name:ALIBABA_CLOUD_ECS_METADATA value:worker", "METADATA_DISABLED"},
		{"none", "", "name:ALIBABA_CLOUD_ECS_METADATA_DISABLED value:true", "envFrom"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pod := fmt.Sprint(rendered(t, tt.given).get(t, "Deployment "+namespace+"/"+fullName).Object["spec"])
			if !strings.Contains(pod, tt.has) || strings.Contains(pod, tt.lacks) {
				t.Errorf("want %q and not %q in\n%s", tt.has, tt.lacks, pod)
			}
		})
	}
}
