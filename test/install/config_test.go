// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// rights lists each right in the objects of one kind in a file of config/.
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

// names lists the objects that kustomize builds from a folder of config/.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../hack/tools/go.mod", "kustomize", "build", "../../config/"+folder).Output()
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(output), 4096)
	for {
		var object metav1.PartialObjectMetadata
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join([]string{object.Kind, object.Namespace, object.Name}, " "))
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
