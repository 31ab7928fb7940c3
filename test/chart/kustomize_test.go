// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/diff"
)

// kustomized is what one of config's overlays gives, with components of config.
func kustomized(t *testing.T, overlay string, components ...string) objects {
	t.Helper()
	dir := t.TempDir()
	absolute, err := filepath.Abs(root + "/config")
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Rel(dir, absolute)
	if err != nil {
		t.Fatal(err)
	}
	kustomization := fmt.Sprintf("resources: [%s/%s]\ncomponents: []\n", config, overlay)
	for _, component := range components {
		kustomization = strings.Replace(kustomization, "components: [", "components: ["+config+"/components/"+component+", ", 1)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "", "go", "tool", "-modfile="+root+"/hack/tools/go.mod", "kustomize", "build", dir)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

// The chart and config/default install the same, but for what each cannot or need not say.
func TestSameAsKustomize(t *testing.T) {
	chart, kustomize := rendered(t, "identity: {existingSecret: sts-operator}"), kustomized(t, "default")
	only := func(a, b objects) (keys []string) {
		for key := range a {
			if b[key] == nil {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		return keys
	}
	// helm makes the namespace and runs the tests' pod.
	if got := only(kustomize, chart); !slices.Equal(got, []string{"Namespace " + namespace}) {
		t.Errorf("config/default alone has %v", got)
	}
	if got, want := only(chart, kustomize), []string{"ClusterRole " + fullName + "-metrics-reader", "Pod " + namespace + "/" + fullName + "-test-identity", "Service " + namespace + "/" + fullName + "-metrics"}; !slices.Equal(got, want) {
		t.Errorf("the chart alone has %v, want %v", got, want)
	}
	for key, want := range kustomize {
		got := chart[key]
		if got == nil || want.GetKind() == "Deployment" {
			continue
		}
		for _, o := range []*unstructured.Unstructured{got, want} {
			normalise(o)
			withoutInstance(o.Object)
		}
		if !reflect.DeepEqual(want.Object, got.Object) {
			t.Errorf("%s: config/default -, the chart +\n%s", key, diff.Diff(want.Object, got.Object))
		}
	}
	compareDeployments(t, chart.get(t, "Deployment "+namespace+"/"+fullName), kustomize.get(t, "Deployment "+namespace+"/"+fullName))
}

// normalise takes out what is written in two ways: labels other than those by which ClusterRoles are added up, rules of
// the operator, which are split otherwise (TestRights compares them), and how the admission policies know the operator,
// whose namespace the chart knows.
func normalise(o *unstructured.Unstructured) {
	labels := o.GetLabels()
	maps.DeleteFunc(labels, func(key, _ string) bool { return !strings.HasPrefix(key, "rbac.authorization.k8s.io/") })
	o.SetLabels(labels)
	if len(labels) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "labels")
	}
	unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	if strings.HasSuffix(o.GetKind(), "Role") && o.GetName() == fullName {
		delete(o.Object, "rules")
	}
	if conditions, found, _ := unstructured.NestedSlice(o.Object, "spec", "matchConditions"); found {
		conditions[0].(map[string]any)["expression"] = ""
		_ = unstructured.SetNestedSlice(o.Object, conditions, "spec", "matchConditions")
	}
}

// withoutInstance removes the label by which the chart distinguishes releases.
func withoutInstance(node any) {
	switch node := node.(type) {
	case map[string]any:
		delete(node, "app.kubernetes.io/instance")
		for _, below := range node {
			withoutInstance(below)
		}
	case []any:
		for _, below := range node {
			withoutInstance(below)
		}
	}
}

func compareDeployments(t *testing.T, chart, kustomize *unstructured.Unstructured) {
	t.Helper()
	pod := func(o *unstructured.Unstructured) (pod, container map[string]any) {
		pod, _, _ = unstructured.NestedMap(o.Object, "spec", "template", "spec")
		container = pod["containers"].([]any)[0].(map[string]any)
		delete(pod, "containers")
		return pod, container
	}
	withoutInstance(chart.Object)
	gotPod, got := pod(chart)
	wantPod, want := pod(kustomize)
	for _, field := range []string{"serviceAccountName", "securityContext", "terminationGracePeriodSeconds", "topologySpreadConstraints"} {
		if !reflect.DeepEqual(gotPod[field], wantPod[field]) {
			t.Errorf("%s: %v, config/default has %v", field, gotPod[field], wantPod[field])
		}
	}
	withoutOptional(want)
	for _, field := range []string{"name", "env", "envFrom", "securityContext", "resources", "livenessProbe", "readinessProbe"} {
		if !reflect.DeepEqual(got[field], want[field]) {
			t.Errorf("%s: %v, config/default has %v", field, got[field], want[field])
		}
	}
	if replicas, _, _ := unstructured.NestedInt64(chart.Object, "spec", "replicas"); replicas != 2 {
		t.Errorf("%d replicas", replicas)
	}
	compareFlags(t, got["args"].([]any), want["args"].([]any))
}

// withoutOptional takes out that config/default starts without its Secret: one manifest serves every identity.
func withoutOptional(container map[string]any) {
	for _, source := range container["envFrom"].([]any) {
		delete(source.(map[string]any)["secretRef"].(map[string]any), "optional")
	}
}

// Without a configured identity the operator has none: no overlay lets it use the node's RAM role unless a component says so.
func TestNoNodeRoleByAccident(t *testing.T) {
	const variable = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
	for _, tt := range []struct {
		name     string
		objects  objects
		disabled string
	}{
		{"config/default", kustomized(t, "default"), "true"},
		{"overlays/namespaced", kustomized(t, "overlays/namespaced"), "true"},
		{"config/default with ecs-role", kustomized(t, "default", "ecs-role"), "false"},
		{"the chart without an identity", rendered(t, "{}"), "true"},
		{"the chart with RRSA", rendered(t, "identity: {rrsa: {roleName: sts-operator}}"), "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			containers, _, _ := unstructured.NestedSlice(tt.objects.get(t, "Deployment "+namespace+"/"+fullName).Object, "spec", "template", "spec", "containers")
			env, _, _ := unstructured.NestedSlice(containers[0].(map[string]any), "env")
			if !slices.ContainsFunc(env, func(e any) bool {
				return reflect.DeepEqual(e, map[string]any{"name": variable, "value": tt.disabled})
			}) {
				t.Errorf("env is %v, want %s=%s", env, variable, tt.disabled)
			}
		})
	}
}

// compareFlags insists that what the chart says and config/default does not is the manager's own default.
func compareFlags(t *testing.T, chart, kustomize []any) {
	t.Helper()
	help, err := command(t, "", "bash", "-c", "cd "+root+" && go run ./cmd/manager --help 2>&1")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range chart {
		flag, value, ok := strings.Cut(strings.TrimPrefix(arg.(string), "--"), "=")
		if !ok {
			value = "true"
		}
		usage := regexp.MustCompile(`(?s)  -` + flag + `[ \n].*?(\n  -|$)`).FindString(help)
		if usage == "" {
			t.Errorf("the manager knows no --%s:\n%s", flag, help)
		}
		byDefault := regexp.MustCompile(`\(default "?([^")]*)"?\)`).FindStringSubmatch(usage)
		if byDefault == nil { // zap's, whose help contains their defaults
			byDefault = []string{"", map[string]string{"zap-log-level": "info", "zap-encoder": "json"}[flag]}
		}
		if value != byDefault[1] {
			t.Errorf("--%s=%s, and the manager's default is %q", flag, value, byDefault[1])
		}
	}
	for _, arg := range kustomize {
		if name, _, _ := strings.Cut(arg.(string), "="); !slices.ContainsFunc(chart, func(a any) bool { return strings.HasPrefix(a.(string), name) }) {
			t.Errorf("the chart lacks config/default's %s", arg)
		}
	}
}
