// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integrations tests what the project offers to other tools: JSON schemas for kubeconform, the resource customization
// for Argo CD, and admission policies.
package integrations

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/docs"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

var (
	config *rest.Config
	admin  client.Client // may do everything, and sends unknown fields to be refused
	shell  docs.Shell    // runs the commands of a page for the admin
)

// TestMain starts one API server with the project's CRDs for all tests.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctrllog.SetLogger(logr.Discard())
	plane, err := controlplane.Start(context.Background(), controlplane.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	config = plane.Config()
	config.QPS = -1
	shell = docs.Shell{Dir: fromRoot(), Env: append(os.Environ(), "PATH="+plane.Assets()+":"+os.Getenv("PATH"), "KUBECONFIG="+plane.Kubeconfig())}
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{fromRoot("config", "crd")}}); err != nil {
		return 0, err
	}
	c, err := fixture.NewClient(config)
	if err != nil {
		return 0, err
	}
	admin = client.WithFieldValidation(c, metav1.FieldValidationStrict)
	return m.Run(), nil
}

// fromRoot is a path from the repository's root.
func fromRoot(elements ...string) string {
	return filepath.Join(append([]string{"..", ".."}, elements...)...)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read returns the objects in a YAML file of the repository.
func read(t testing.TB, path ...string) (objects []*unstructured.Unstructured) {
	t.Helper()
	content, err := os.ReadFile(fromRoot(path...))
	must(t, err)
	return parse(t, string(content))
}

// parse returns the objects in a YAML text.
func parse(t testing.TB, text string) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		must(t, err)
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// eventually waits until a check holds, for at most a minute.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
