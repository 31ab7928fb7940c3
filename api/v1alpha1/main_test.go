// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	credentialKind = "StsCredential"
	grantKind      = "StsRoleGrant"
)

// crds is the folder of what controller-gen makes of this package.
var crds = filepath.Join("..", "..", "config", "crd")

var (
	cluster *envtest.Environment // runs for as long as the tests
	admin   client.Client        // may do everything, and sends unknown fields to be refused
)

// TestMain starts one real API server for all tests: its schema is what users meet.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		panic(err)
	}
	os.Exit(code)
}

// Whoever imports the API resolves the imports of its tests too, so these import nothing of hack or test.
func run(m *testing.M) (code int, err error) {
	assets, err := assets()
	if err != nil {
		return 0, err
	}
	cluster = &envtest.Environment{
		BinaryAssetsDirectory: assets, CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: time.Minute,
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	config, err := cluster.Start()
	if err != nil {
		return 0, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 0, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return 0, err
	}
	admin = client.WithFieldValidation(c, metav1.FieldValidationStrict)
	return m.Run(), nil
}

// assets returns the folder with the programs of the control plane, which are fetched or built on first use.
func assets() (string, error) {
	if folder := os.Getenv("KUBEBUILDER_ASSETS"); folder != "" {
		return folder, nil
	}
	find := exec.Command("go", "-C", "../../hack", "run", "./controlplane/assets")
	find.Stderr = os.Stderr
	folder, err := find.Output()
	return strings.TrimSpace(string(folder)), err
}

// row is one rule seen from one side. given is YAML that is laid over a spec which is admitted: a key replaces the
// spec's own, null leaves it out. want is empty where that is admitted, else the field and a part of what is said of it.
type row struct{ name, given, want string }

// check sends each row to the API server, which validates it and stores nothing.
func check(t *testing.T, kind, base string, rows []row) {
	t.Helper()
	for _, test := range rows {
		t.Run(test.name, func(t *testing.T) {
			err := admin.Create(t.Context(), object(t, kind, "row", base, test.given), client.DryRunAll)
			compare(t, err, test.want)
		})
	}
}

// compare reports whether the response of an API server is the wanted one.
func compare(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || want == "" {
		if err != nil || want != "" {
			t.Errorf("got %v; want %q", err, want)
		}
		return
	}
	field, message, _ := strings.Cut(want, ": ")
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || status.Status().Details == nil {
		t.Fatalf("got %v; want a refusal with details", err)
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Field == field && strings.Contains(cause.Message, message) {
			return
		}
	}
	t.Errorf("got %v; want %q", err, want)
}

// object makes an object of either kind whose spec is the base with the overlay's keys on top.
func object(t *testing.T, kind, name, base, overlay string) *unstructured.Unstructured {
	t.Helper()
	spec := map[string]any{}
	for _, layer := range []string{base, overlay} {
		over, ok := fromYAML(t, layer).(map[string]any)
		if !ok && layer != "" {
			t.Fatalf("no map:\n%s", layer)
		}
		maps.Copy(spec, over)
	}
	for key, value := range spec {
		if value == nil {
			delete(spec, key)
		}
	}
	return withSpec(kind, name, spec)
}

func withSpec(kind, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetName(name)
	if kind == credentialKind {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return o
}

// fromYAML reads YAML into what unstructured objects are made of; whole numbers stay what they are.
func fromYAML(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := yaml.UnmarshalStrict([]byte(text), &value); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return value
}

// create stores an object and removes it at the end of the test.
func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, o) })
}

func remove(t *testing.T, o client.Object) {
	t.Helper()
	if err := admin.Delete(context.WithoutCancel(t.Context()), o); err != nil {
		t.Error(err)
	}
}
