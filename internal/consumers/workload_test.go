// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func TestStateOfWorkloads(t *testing.T) {
	const template = `
  template:
    metadata: {annotations: {sts.alibabacloud.com/restarted-for: "orders=R-1,other=R-2", sts.alibabacloud.com/restarted-at: "2026-11-22T10:00:00Z"}}
    spec: {containers: [{name: main, envFrom: [{secretRef: {name: orders}}]}, {name: side, envFrom: [{secretRef: {name: orders}}]}]}
`
	for _, tt := range []struct{ name, kind, spec, blocked, message string }{
		{"a Deployment", "Deployment", "strategy: {type: Recreate}", "", ""},
		{"a paused Deployment", "Deployment", "paused: true", "WorkloadPaused", "Deployment orders is paused"},
		{"a StatefulSet", "StatefulSet", "updateStrategy: {type: RollingUpdate}", "", ""},
		{"a StatefulSet on deletion", "StatefulSet", "updateStrategy: {type: OnDelete}", "StrategyUnsuited", "StatefulSet orders replaces pods only when they are deleted"},
		{"a DaemonSet on deletion", "DaemonSet", "updateStrategy: {type: OnDelete}", "StrategyUnsuited", "DaemonSet orders replaces pods only"},
		{"a StatefulSet with a partition", "StatefulSet", "updateStrategy: {rollingUpdate: {partition: 2}}", "", ""},
		{"a CloneSet", "CloneSet", "updateStrategy: {type: ReCreate}", "", ""},
		{"a CloneSet in place", "CloneSet", "updateStrategy: {type: InPlaceIfPossible}", "StrategyUnsuited", "restarts nothing (updateStrategy InPlaceIfPossible)"},
		{"a CloneSet with a partition", "CloneSet", "updateStrategy: {partition: 2}", "", "partition is 2"},
		{"a CloneSet with a partition in per cent", "CloneSet", "updateStrategy: {partition: 20%}", "", "partition is 20%"},
		{"a CloneSet with an empty partition", "CloneSet", "updateStrategy: {partition: 0}", "", ""},
		{"a paused CloneSet", "CloneSet", "updateStrategy: {paused: true}", "WorkloadPaused", "CloneSet orders is paused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Workload{tt.kind, "orders"}.Object("shop")
			content := map[string]any{}
			if err := yaml.Unmarshal([]byte("spec:\n  "+tt.spec+template), &content); err != nil {
				t.Fatal(err)
			}
			o.Object["spec"] = content["spec"]
			got, err := StateOf(o)
			if err != nil {
				t.Fatal(err)
			}
			if got.BlockedReason != tt.blocked || !strings.Contains(got.Message, tt.message) || (got.Message == "") != (tt.message == "") {
				t.Errorf("blocked %q %q", got.BlockedReason, got.Message)
			}
			if !slices.Equal(got.Holds, []string{"orders"}) || got.Terminating {
				t.Errorf("holds %v, ending %v", got.Holds, got.Terminating)
			}
			if got.Restarted.For["orders"] != "R-1" || got.Restarted.For["other"] != "R-2" || !got.Restarted.At.Equal(at(t, "10:00:00")) {
				t.Errorf("annotation %+v", got.Restarted)
			}
		})
	}
}

// A Rollout is restarted by its spec.restartAt, never by its template, also with a workloadRef and while it is paused.
func TestStateOfRollouts(t *testing.T) {
	o := Workload{"Rollout", "orders"}.Object("shop")
	o.SetAnnotations(map[string]string{restartedForAnnotation: "orders=R-1", restartedAtAnnotation: "2026-11-22T10:00:00Z"})
	o.Object["spec"] = map[string]any{
		"paused": true, "restartAt": "2026-11-22T10:00:10Z", "workloadRef": map[string]any{"kind": "Deployment", "name": "orders"},
		"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{restartedForAnnotation: "orders=R-9"}}},
	}
	o.Object["status"] = map[string]any{"restartedAt": "2026-11-22T09:00:00Z"}
	got, err := StateOf(o)
	if err != nil || got.BlockedReason+got.Message != "" || !got.Elsewhere || got.Restarted.For["orders"] != "R-1" ||
		!got.RestartAt.Equal(at(t, "10:00:10")) || !got.RestartedAt.Equal(at(t, "09:00:00")) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What a Rollout is patched with follows from the issuance, so that a crash repeats nothing.
func TestRolloutPatch(t *testing.T) {
	ro, issuance := Workload{"Rollout", "orders"}, issuance(t)
	for _, tt := range []struct{ name, restartAt, want string }{
		{"the first", "", "11:20:10"},
		{"after an earlier issuance", "10:40:10", "11:20:10"},
		{"again, as it did not replace all", "11:20:10", "11:20:11"},
		{"scheduled for much later by another client", "19:00:00", "11:20:10"},
	} {
		var got map[string]any
		raw := ro.RestartPatch(issuance, RestartAnnotation{For: map[string]string{"orders": "R-3"}, At: at(t, "11:21:00")}, State{RestartAt: at(t, tt.restartAt)}, "7")
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		when, _, _ := unstructured.NestedString(got, "spec", "restartAt")
		_, template, _ := unstructured.NestedMap(got, "spec", "template")
		annotations, _, _ := unstructured.NestedStringMap(got, "metadata", "annotations")
		if when != "2026-11-22T"+tt.want+"Z" || template || annotations[restartedForAnnotation] != "orders=R-3" {
			t.Errorf("%s: %s", tt.name, raw)
		}
	}
}

func TestStateOfOddWorkloads(t *testing.T) {
	bare := Workload{"Deployment", "orders"}.Object("shop")
	if got, err := StateOf(bare); err != nil || len(got.Holds) != 0 || len(got.Restarted.For) != 0 || !got.Restarted.At.IsZero() {
		t.Errorf("without a template: %+v, %v", got, err)
	}
	for _, odd := range []any{"text", map[string]any{"spec": map[string]any{"containers": "text"}}} {
		if err := unstructured.SetNestedField(bare.Object, odd, "spec", "template"); err != nil {
			t.Fatal(err)
		}
		if _, err := StateOf(bare); err == nil {
			t.Errorf("template %v is read", odd)
		}
	}
}

func TestRestartPatch(t *testing.T) {
	given := RestartAnnotation{For: map[string]string{"b": ID("R,2=x", ""), "a.c": ID("", "STS.NT")}, At: at(t, "10:00:00")}
	var got map[string]any
	if err := json.Unmarshal(env.RestartPatch(Issuance{}, given, State{}, "7"), &got); err != nil {
		t.Fatal(err)
	}
	version, _, _ := unstructured.NestedString(got, "metadata", "resourceVersion")
	annotations, _, _ := unstructured.NestedStringMap(got, "spec", "template", "metadata", "annotations")
	if version != "7" || annotations[restartedForAnnotation] != "a.c=STS.NT,b=R-2-x" || annotations[restartedAtAnnotation] != "2026-11-22T10:00:00Z" {
		t.Errorf("got %v", got)
	}
	if again := parseRestartAnnotation(annotations); again.For["b"] != given.For["b"] || again.For["a.c"] != "STS.NT" || !again.At.Equal(given.At) {
		t.Errorf("read back: %+v", again)
	}
}

// The whole annotation of a pod is kept: what it was restarted for, and when.
func TestRestartAnnotationOfPods(t *testing.T) {
	given := RestartAnnotation{For: map[string]string{"orders": "R-1"}, At: at(t, "10:00:00")}
	stripped, _ := Strip(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: given.annotations()}})
	if got := PodOf(stripped.(*corev1.Pod)).Restarted; !reflect.DeepEqual(got, given) {
		t.Errorf("got %v, want %v", got, given)
	}
}
