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
	var inNamespaces []string
	for _, right := range all {
		namespaced := slices.ContainsFunc([]string{"/secrets", "/stscredentials", "events.k8s.io"}, func(s string) bool { return strings.Contains(right, s) })
		if namespaced {
			inNamespaces = append(inNamespaces, "shop "+right, "web "+right)
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
		{"none", "rbac: {create: false}", nil},
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

// Rights for named namespaces are those of the overlay for it.
func TestRightsLikeTheOverlay(t *testing.T) {
	chart, overlay := rendered(t, "namespaces: [shop]"), kustomized(t, "overlays/namespaced")
	got, want := chart.rights(t, chart.theRoles(t)...), overlay.rights(t, overlay.theRoles(t)...)
	if !slices.Equal(got, want) {
		t.Errorf("rights\n%s\nthe overlay's\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
