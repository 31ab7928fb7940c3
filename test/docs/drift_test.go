// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

const workload = `{"spec": {"template": {"metadata": {"labels": {"app": "orders"}, "annotations": {"example.com/a": "b"}}}}}`

// GitOps tools that are configured as in docs/rollouts.md ignore what a restart writes to a workload, and nothing else.
func TestDriftRules(t *testing.T) {
	annotation := consumers.RestartAnnotation{For: map[string]string{"orders": "R-1"}, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	restarted, err := jsonpatch.MergePatch([]byte(workload), consumers.Workload{Kind: "Deployment", Name: "orders"}.RestartPatch(consumers.Issuance{}, annotation, consumers.State{}, "7"))
	must(t, err)
	restarted, err = jsonpatch.MergePatch(restarted, []byte(`{"metadata": null}`)) // the version that it was written to
	must(t, err)
	page, err := Read(repository(t), "docs/rollouts.md")
	must(t, err)
	found := 0
	for _, b := range page.Blocks {
		if paths := pointers(t, b.Text); len(paths) > 0 {
			found++
			if got := without(t, restarted, paths); !reflect.DeepEqual(got, decoded(t, []byte(workload))) {
				t.Errorf("line %d: without what is ignored, %v is left of a workload that was restarted", b.Line, got)
			}
		}
	}
	if found != 3 {
		t.Errorf("%d rules found, want one of Flux and two of Argo CD", found)
	}
}

// pointers are the JSON pointers that a manifest lists.
func pointers(t *testing.T, manifest string) (all []string) {
	t.Helper()
	if !strings.Contains(manifest, "restarted-for") {
		return nil
	}
	var content any
	must(t, yaml.Unmarshal([]byte(manifest), &content))
	return collect(content)
}

// collect finds pointers in what was read from YAML, and in texts there that are YAML themselves.
func collect(node any) (all []string) {
	switch node := node.(type) {
	case map[string]any:
		for _, below := range node {
			all = append(all, collect(below)...)
		}
	case []any:
		for _, below := range node {
			all = append(all, collect(below)...)
		}
	case string:
		var inner map[string]any
		if strings.HasPrefix(node, "/") {
			return []string{node}
		}
		if yaml.Unmarshal([]byte(node), &inner) == nil {
			return collect(inner)
		}
	}
	return all
}

// without is the object without what the pointers lead to. Each must lead to something.
func without(t *testing.T, object []byte, paths []string) any {
	t.Helper()
	for _, path := range paths {
		patch, err := jsonpatch.DecodePatch(fmt.Appendf(nil, `[{"op": "remove", "path": %q}]`, path))
		must(t, err)
		object, err = patch.Apply(object)
		must(t, err)
	}
	return decoded(t, object)
}

func decoded(t *testing.T, object []byte) (content any) {
	t.Helper()
	must(t, json.Unmarshal(object, &content))
	return content
}
