// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// rights are what the rules of the roles say, one by one and sorted, with the namespace of a Role before it.
func (o objects) rights(t *testing.T, keys ...string) (rights []string) {
	t.Helper()
	for _, key := range keys {
		var role rbacv1.Role // a ClusterRole's rules have the same place and shape
		object := o.get(t, key)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						rights = append(rights, strings.TrimSpace(fmt.Sprint(object.GetNamespace(), " ", verb, " ", group, "/", resource, " ", strings.Join(rule.ResourceNames, ","))))
					}
				}
			}
		}
	}
	slices.Sort(rights)
	return rights
}

// theRoles are the roles that a binding gives to the operator's ServiceAccount.
func (o objects) theRoles(t *testing.T) (keys []string) {
	t.Helper()
	for _, object := range o {
		if !strings.HasSuffix(object.GetKind(), "RoleBinding") {
			continue
		}
		var binding rbacv1.RoleBinding
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &binding); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool { return s.Name == fullName && s.Namespace == namespace }) {
			t.Errorf("%s %s binds %v", binding.Kind, binding.Name, binding.Subjects)
		}
		key := binding.RoleRef.Kind + " " + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			key = "Role " + binding.Namespace + "/" + binding.RoleRef.Name
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func generatedRights(t *testing.T) []string {
	t.Helper()
	role, err := os.ReadFile(root + "/config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := parse(t, string(role))
	return o.rights(t, "ClusterRole "+fullName, "Role "+namespace+"/"+fullName)
}

// inEach are rights in the namespaces shop and web.
func inEach(rights []string) (each []string) {
	for _, right := range rights {
		each = append(each, "shop "+right, "web "+right)
	}
	return each
}

// By default the operator gets what its code says it needs, and what belongs to a feature goes with the feature.
func TestRights(t *testing.T) {
	all := generatedRights(t)
	without := func(parts ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(right string) bool {
			return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(right, part) })
		})
	}
	with := func(rights []string, more ...string) []string {
		rights = append(slices.Clone(rights), more...)
		slices.Sort(rights)
		return rights
	}
	metrics := []string{"tokenreviews", "subjectaccessreviews"}
	pods := []string{"get /pods", "list /pods", "watch /pods"}
	workloads := []string{
		"get apps/deployments", "patch apps/deployments", "get apps/statefulsets", "patch apps/statefulsets", "get apps/daemonsets", "patch apps/daemonsets",
		"get argoproj.io/rollouts", "patch argoproj.io/rollouts", "get apps.kruise.io/clonesets", "patch apps.kruise.io/clonesets",
	}
	var inNamespaces []string
	for _, right := range all {
		namespaced := slices.ContainsFunc([]string{"/secrets", "/stscredentials", "events.k8s.io"}, func(s string) bool { return strings.Contains(right, s) })
		if namespaced {
			inNamespaces = append(inNamespaces, inEach([]string{right})...)
		} else {
			inNamespaces = append(inNamespaces, right)
		}
	}
	for _, tt := range []struct {
		name, given string
		want        []string
	}{
		{"by default, those of config/rbac", "", all},
		{"metrics off", "metrics: {enabled: false}", without(metrics...)},
		{"metrics for everybody", "metrics: {secure: false}", without(metrics...)},
		{"one replica alone", "replicaCount: 1\nleaderElection: {enabled: false}", without("leases", namespace+" ")},
		{"tokens of nobody yet", "serviceAccountIdentity: {enabled: true}", all},
		{"tokens of one", "serviceAccountIdentity: {enabled: true, serviceAccounts: [{namespace: shop, name: orders}]}",
			with(all, "shop create /serviceaccounts/token orders")},
		{"tokens of all", "serviceAccountIdentity: {enabled: true, allServiceAccounts: true}", with(all, "create /serviceaccounts/token")},
		{"in namespaces", "namespaces: [shop, web]", with(inNamespaces)},
		{"in namespaces, with tokens of all there", "namespaces: [shop, web]\nserviceAccountIdentity: {enabled: true, allServiceAccounts: true}",
			with(inNamespaces, "shop create /serviceaccounts/token", "web create /serviceaccounts/token")},
		{"pods tracked", "trackConsumers: {enabled: true}", with(all, pods...)},
		{"workloads restarted", "rollouts: {enabled: true}", with(all, slices.Concat(pods, workloads)...)},
		{"both", "trackConsumers: {enabled: true}\nrollouts: {enabled: true}", with(all, slices.Concat(pods, workloads)...)},
		{"pods tracked in namespaces", "trackConsumers: {enabled: true}\nnamespaces: [shop, web]", with(inNamespaces, inEach(pods)...)},
		{"workloads restarted in namespaces", "rollouts: {enabled: true}\nnamespaces: [shop, web]", with(inNamespaces, inEach(slices.Concat(pods, workloads))...)},
		{"none", "rbac: {create: false}\nrollouts: {enabled: true}", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := rendered(t, tt.given)
			if got := o.rights(t, o.theRoles(t)...); !slices.Equal(got, tt.want) {
				t.Errorf("rights\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Rights for named namespaces, and for features, are those that kustomize gives, and so are the flags of the features.
func TestRightsLikeTheOverlays(t *testing.T) {
	for _, tt := range []struct {
		given, overlay string
		components     []string
		flags          []string
	}{
		{given: "namespaces: [shop]", overlay: "overlays/namespaced"},
		{"trackConsumers: {enabled: true}", "default", []string{"track-consumers"}, []string{"--track-consumers"}},
		{"trackConsumers: {enabled: true}\nrollouts: {enabled: true}", "default", []string{"rollouts"}, []string{"--track-consumers", "--rollouts"}},
		{"trackConsumers: {enabled: true}\nnamespaces: [shop]", "overlays/namespaced", []string{"track-consumers-in-namespaces"}, []string{"--track-consumers"}},
		{"trackConsumers: {enabled: true}\nrollouts: {enabled: true}\nnamespaces: [shop]", "overlays/namespaced", []string{"rollouts-in-namespaces"},
			[]string{"--track-consumers", "--rollouts"}},
		{"serviceAccountIdentity: {enabled: true, allServiceAccounts: true}", "default", []string{"service-account-identity-cluster-wide"},
			[]string{"--service-account-identity"}},
	} {
		t.Run(tt.given, func(t *testing.T) {
			t.Parallel()
			chart, overlay := rendered(t, tt.given), kustomized(t, tt.overlay, tt.components...)
			got, want := chart.rights(t, chart.theRoles(t)...), overlay.rights(t, overlay.theRoles(t)...)
			if !slices.Equal(got, want) {
				t.Errorf("rights\n%s\nthe overlay's\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for name, o := range map[string]objects{"the chart": chart, "the overlay": overlay} {
				if flags := o.features(t); !slices.Equal(flags, tt.flags) {
					t.Errorf("%s switches %v on, want %v", name, flags, tt.flags)
				}
			}
		})
	}
}

// features are the flags that switch features on.
func (o objects) features(t *testing.T) (flags []string) {
	t.Helper()
	containers, _, _ := unstructured.NestedSlice(o.get(t, "Deployment "+namespace+"/"+fullName).Object, "spec", "template", "spec", "containers")
	for _, arg := range containers[0].(map[string]any)["args"].([]any) {
		if slices.Contains([]any{"--track-consumers", "--rollouts", "--service-account-identity"}, arg) {
			flags = append(flags, arg.(string))
		}
	}
	return flags
}
