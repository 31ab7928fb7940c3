// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// bounds are the schema's keywords that refuse something, with what the API server says then.
var bounds = map[string]string{
	"maxLength":     "Too long",
	"maxItems":      "Too many",
	"maxProperties": "Too many",
	"minItems":      "should have at least",
	"minProperties": "should have at least",
	"enum":          "Unsupported value",
	"pattern":       "should match",
}

// rule is something that the schema refuses: where, as a pattern of what the API server calls it, and with which words.
type rule struct{ field, message string }

// A rule that is added to a kind without a row here is found by this.
func TestEveryRuleHasARow(t *testing.T) {
	for kind, rows := range map[string][]row{
		credentialKind: slices.Concat(identityRows, askerRows, timeRows, rolloutRows, secretRows, layoutRows, keyRows("labels"), keyRows("annotations"), statusRows),
		grantKind:      slices.Concat(roleRows, limitRows, namespaceRows, matchLabelsRows, matchExpressionsRows),
	} {
		found := rulesOf(schema(t, kind))
		if len(found) < 20 {
			t.Errorf("%s: only %d rules found", kind, len(found))
		}
		for _, r := range found {
			if !slices.ContainsFunc(rows, r.refuses) {
				t.Errorf("%s: no row is refused by %s: %s", kind, r.field, r.message)
			}
		}
	}
}

// refuses reports whether this rule must refuse a row.
func (r rule) refuses(test row) bool {
	field, message, ok := strings.Cut(test.want, ": ")
	// A row may want less than the whole of our message, or more than what is common to all of a keyword's.
	return ok && regexp.MustCompile("^"+r.field+"$").MatchString(field) &&
		(strings.Contains(r.message, message) || strings.HasPrefix(message, r.message))
}

// rulesOf finds the rules of spec and status.
func rulesOf(root map[string]any) []rule {
	var found []rule
	walk(root, "", func(path string, node map[string]any) {
		if strings.HasPrefix(path, `status\.conditions\[`) || !strings.HasPrefix(path, "spec") && !strings.HasPrefix(path, "status") {
			return // Kubernetes' own.
		}
		if strings.HasPrefix(path, `spec\.policy(`) {
			return // How deep it may nest is TestPoliciesNestNoDeeperThanRAMs.
		}
		for keyword, message := range bounds {
			if node[keyword] != nil {
				found = append(found, rule{path, message})
			}
		}
		required, _, _ := unstructured.NestedStringSlice(node, "required")
		for _, name := range required {
			found = append(found, rule{path + `\.` + name, "Required value"})
		}
		if kind := node["x-kubernetes-list-type"]; kind == "set" || kind == "map" {
			found = append(found, rule{path + `\[\d+\]`, "Duplicate value"})
		}
		validations, _, _ := unstructured.NestedSlice(node, "x-kubernetes-validations")
		for _, v := range validations {
			field, _, _ := unstructured.NestedString(v.(map[string]any), "fieldPath")
			message, _, _ := unstructured.NestedString(v.(map[string]any), "message")
			found = append(found, rule{path + regexp.QuoteMeta(field), message})
		}
	})
	return found
}

// walk visits a schema's node and all below it, parents first, each with a pattern of its path.
func walk(node map[string]any, path string, visit func(path string, node map[string]any)) {
	visit(path, node)
	properties, _, _ := unstructured.NestedMap(node, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		below := path + `\.` + name
		if path == "" {
			below = name
		}
		walk(properties[name].(map[string]any), below, visit)
	}
	if items, ok, _ := unstructured.NestedMap(node, "items"); ok {
		walk(items, path+`\[\d+\]`, visit)
	}
	if values, ok, _ := unstructured.NestedMap(node, "additionalProperties"); ok {
		walk(values, path+`(\.[^.]+|\[[^]]+\])`, visit)
	}
}

// schema reads a kind's schema from its CRD.
func schema(t *testing.T, kind string) map[string]any {
	t.Helper()
	file := filepath.Join(crds, "sts.alibabacloud.com_"+strings.ToLower(kind)+"s.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	crd := map[string]any{}
	if err := yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%s: got %d versions, %v; want one", file, len(versions), err)
	}
	root, ok, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	if err != nil || !ok {
		t.Fatalf("%s has no schema: %v", file, err)
	}
	return root
}

// The description of every field is a sentence that starts with its name, as in Kubernetes.
func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range []string{credentialKind, grantKind} {
		walk(schema(t, kind), "", func(path string, node map[string]any) {
			properties, _, _ := unstructured.NestedMap(node, "properties")
			for name, field := range properties {
				text, _, _ := unstructured.NestedString(field.(map[string]any), "description")
				if path == "" && name != "spec" && name != "status" {
					continue // Kubernetes' own.
				}
				if !strings.HasPrefix(text, name+" ") && !strings.HasPrefix(text, name+": ") {
					t.Errorf("%s %s.%s: the description should start with %[3]s: %q", kind, path, name, text)
				}
			}
		})
	}
}
