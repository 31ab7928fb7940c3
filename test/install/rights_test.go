// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// rights lists the rights that the objects of one kind in a file of config/ give, one by one.
func rights(t *testing.T, file, kind string) (all []string) {
	t.Helper()
	content, err := os.Open(filepath.Join("../../config", file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	decoder := yaml.NewYAMLOrJSONDecoder(content, 4096)
	for {
		var role rbacv1.ClusterRole
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if role.Kind == kind {
			all = append(all, flatten(role.Rules)...)
		}
	}
	slices.Sort(all)
	return all
}

func flatten(rules []rbacv1.PolicyRule) (all []string) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, strings.Join([]string{verb, group + "/" + resource, strings.Join(rule.ResourceNames, ",")}, " "))
				}
			}
		}
	}
	return all
}
