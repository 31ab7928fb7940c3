// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestEmptyValues sets every value to null and to its empty form, with everything switched off and on. The chart renders
// objects that Kubernetes can read, or refuses the value with a message that names it.
func TestEmptyValues(t *testing.T) {
	document, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(document, &values); err != nil {
		t.Fatal(err)
	}
	paths := pathsIn(values, nil)
	if len(paths) < 100 {
		t.Fatalf("values.yaml has %d values only", len(paths))
	}
	for _, p := range paths {
		name := strings.Join(p.path, ".")
		for base, given := range map[string]string{"defaults": "{}", "everything": everything} {
			for _, form := range []string{"null", p.empty} {
				t.Run(name+"="+form+" beside "+base, func(t *testing.T) {
					t.Parallel()
					out, err := template(t, given, "--set-json="+name+"="+form, "--api-versions=sts.alibabacloud.com/v1alpha1/StsRoleGrant")
					switch {
					case err == nil:
						wantReadable(t, parse(t, out))
					case !refused(err.Error(), p.path):
						t.Errorf("not refused in words that name the value: %v", err)
					}
				})
			}
		}
	}
}

// valuePath is a value of values.yaml and the empty form of its type, as JSON.
type valuePath struct {
	path  []string
	empty string
}

func pathsIn(values map[string]any, above []string) (all []valuePath) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := append(above[:len(above):len(above)], key)
		switch value := values[key].(type) {
		case map[string]any:
			all = append(append(all, valuePath{path, "{}"}), pathsIn(value, path)...)
		case []any:
			all = append(all, valuePath{path, "[]"})
		case bool:
			all = append(all, valuePath{path, "false"})
		case float64:
			all = append(all, valuePath{path, "0"})
		default:
			all = append(all, valuePath{path, `""`})
		}
	}
	return all
}

// refused reports whether a message names the value: one of Helm's schema check, as in "at '/metrics': missing property
// 'port'", or one of the chart's own.
func refused(message string, path []string) bool {
	if strings.Contains(message, "Error: execution error at") {
		return strings.Contains(message, strings.Join(path, ".")) || strings.Contains(message, path[0]+" ")
	}
	parent, last := strings.Join(path[:len(path)-1], "/"), path[len(path)-1]
	return strings.Contains(message, "values don't meet the specifications") && (strings.Contains(message, "'/"+strings.Join(path, "/")+"'") ||
		strings.Contains(message, "at '"+strings.TrimSuffix("/"+parent, "/")+"'") && strings.Contains(message, "'"+last+"'"))
}

// wantReadable insists that the Deployment has the fields that Kubernetes knows, and no null in place of a value.
func wantReadable(t *testing.T, o objects) {
	t.Helper()
	for key, object := range o {
		for _, path := range nulls(object.Object, "") {
			t.Errorf("%s: %s is null", key, path)
		}
	}
	deployment := &appsv1.Deployment{}
	keys := slices.DeleteFunc(o.keys(), func(key string) bool { return !strings.HasPrefix(key, "Deployment ") })
	if len(keys) != 1 {
		t.Fatalf("%d Deployments in %v", len(keys), o.keys())
	}
	content := o[keys[0]]
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content.Object, deployment, true); err != nil {
		t.Error(err)
	}
	container := deployment.Spec.Template.Spec.Containers[0]
	for _, arg := range container.Args {
		if strings.HasSuffix(arg, "=") || strings.Contains(arg, "<nil>") || strings.HasSuffix(arg, "=0") && !strings.HasSuffix(arg, "-address=0") {
			t.Errorf("the flag %s has no value", arg)
		}
	}
	if !regexp.MustCompile(`^([a-z0-9.-]+/)*[a-z0-9-]+[:@][A-Za-z0-9:._-]+$`).MatchString(container.Image) {
		t.Errorf("the image is %q", container.Image)
	}
}

func nulls(node any, at string) (found []string) {
	switch node := node.(type) {
	case nil:
		return []string{at}
	case map[string]any:
		for key, below := range node {
			found = append(found, nulls(below, at+"."+key)...)
		}
	case []any:
		for i, below := range node {
			found = append(found, nulls(below, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	return found
}
