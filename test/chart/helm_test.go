// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart: what it refuses, what it renders, and what becomes of it on a real API server.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const (
	root      = "../.."
	chart     = root + "/charts/sts-credential-operator"
	release   = "sts"
	namespace = "sts-system"
	fullName  = "sts-credential-operator"
)

// helmBinary is the Helm that hack/tools/helm pins, or another one that HELM names.
var helmBinary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("HELM"); given != "" {
		return given, nil
	}
	out, err := exec.Command("go", "tool", "-n", "-modfile="+root+"/hack/tools/helm/go.mod", "helm").Output()
	if err != nil {
		return "", fmt.Errorf("build helm: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// command runs a program; its error holds what it printed to stderr.
func command(t *testing.T, stdin, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, stderr)
	}
	return string(out), nil
}

// helm runs Helm, which is given values on its standard input. A registry is set unless they set another.
func helm(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	binary, err := helmBinary()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains([]string{"install", "template", "upgrade"}, args[0]) {
		args = slices.Insert(slices.Clone(args), 1, "--values=testdata/registry.yaml")
	}
	return command(t, values, binary, args...)
}

// template renders the chart with values in YAML, for a cluster that serves MutatingAdmissionPolicy.
func template(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	return helm(t, values, append([]string{"template", release, chart, "--namespace=" + namespace, "--kube-version=1.36.0",
		"--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy", "--values=-"}, args...)...)
}

// objects are what a rendering holds, by kind and name, and namespace where they have one.
type objects map[string]*unstructured.Unstructured

func rendered(t *testing.T, values string, args ...string) objects {
	t.Helper()
	out, err := template(t, values, args...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

func parse(t *testing.T, documents string) objects {
	t.Helper()
	found := objects{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(documents), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, documents)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := object.GetKind() + " " + object.GetName()
		if object.GetNamespace() != "" {
			key = object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		}
		if found[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		found[key] = object
	}
}

func (o objects) get(t *testing.T, key string) *unstructured.Unstructured {
	t.Helper()
	if o[key] == nil {
		t.Fatalf("no %s in %v", key, o.keys())
	}
	return o[key]
}

func (o objects) keys() (keys []string) {
	for key := range o {
		keys = append(keys, key)
	}
	return keys
}
