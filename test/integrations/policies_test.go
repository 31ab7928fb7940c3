// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package integrations

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/test/docs"
	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
)

// key has the shape of a RAM user's AccessKey ID.
const key = "LTAI" + "5tBcDeFgHjKmNpQrStUv"

// templated are kinds with a pod template, and where it is.
var templated = map[string]string{
	"{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: %s}}":                  "Always",
	"{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: %s}}":                  "Always",
	"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: %s}}":                   "Always",
	"{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {serviceName: x, selector: {matchLabels: {a: b}}, template: %s}}": "Always",
	"{apiVersion: v1, kind: ReplicationController, metadata: {name: x}, spec: {selector: {a: b}, template: %s}}":                           "Always",
	"{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: %s}}":                                                         "Never",
	"{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: %s}}}}":       "Never",
	"{apiVersion: v1, kind: Pod, %s}": "Pod",
	"{apiVersion: v1, kind: Pod, metadata: {name: x, ownerReferences: [{apiVersion: e/v1, kind: Job, name: x, uid: u, controller: true}]}, spec: %s}": "Spec",
}

// workloads returns one object of each kind, whose container has a variable with the value.
func workloads(t *testing.T, value string) (all []*unstructured.Unstructured) {
	t.Helper()
	for manifest, restart := range templated {
		container := fmt.Sprintf("{name: c, image: i, env: [{name: OTHER, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: ID, value: %q}]}", value)
		part := fmt.Sprintf("{metadata: {labels: {a: b}}, spec: {restartPolicy: %s, initContainers: [%s], containers: [{name: d, image: i}]}}", restart, container)
		switch restart {
		case "Pod":
			part = "metadata: {name: x}, spec: {containers: [" + container + "]}"
		case "Spec":
			part = "{containers: [" + container + "]}"
		}
		all = append(all, parse(t, fmt.Sprintf(manifest, part))...)
	}
	return all
}

func newSecret(namespace, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace}, StringData: map[string]string{"id": value}}
}

// refused reports whether the policies refused a request. Any other error ends the test.
func refused(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "a long-term AccessKey ID") {
		t.Fatal(err)
	}
	return err != nil
}

// The policies refuse new AccessKeys, and nothing else.
func TestNoAccessKeys(t *testing.T) {
	for _, name := range []string{"refused", "shop"} {
		must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	existing := newSecret("refused", key)
	existing.Name = "existing"
	must(t, admin.Create(t.Context(), existing))
	page, err := docs.Read(fromRoot(), "docs/security.md")
	must(t, err)
	must(t, page.Play(t.Context(), shell, "TestNoAccessKeys")) // labels the namespace shop
	eventually(t, "the policies are enforced", func() error {
		secret := admin.Create(t.Context(), newSecret("refused", key), client.DryRunAll)
		pod := parse(t, "{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: refused}, spec: {containers: [{name: c, image: i, env: [{name: A, value: "+key+"}]}]}}")[0]
		if env := admin.Create(t.Context(), pod, client.DryRunAll); secret == nil || env == nil {
			return errors.New("an AccessKey is accepted")
		}
		return nil
	})
	t.Run("secrets", testSecrets)
	t.Run("workloads", testWorkloads)
	t.Run("an existing Secret", func(t *testing.T) {
		existing.Labels = map[string]string{"a": "b"}
		must(t, admin.Update(t.Context(), existing))
		existing.StringData = map[string]string{"another": key}
		if !refused(t, admin.Update(t.Context(), existing)) {
			t.Error("a further AccessKey is accepted")
		}
	})
}

func testSecrets(t *testing.T) {
	for value, want := range map[string]bool{
		key: true, key + "\n": true, "LTAI" + "0123456789ab": true,
		"STS.NUabcdefghijklmnopqrst": false, "": false, "LTAI": false, "LTAI-your-access-key-id": false, "ALTAI5tBcDeFgHjKmNpQ": false,
		"LTAIR is a name": false, "\xff\xfe\x00": false, strings.Repeat("LTAI", 100): false, strings.Repeat("x", 900_000): false,
	} {
		if got := refused(t, admin.Create(t.Context(), newSecret("refused", value), client.DryRunAll)); got != want {
			t.Errorf("stringData %.40q is refused: %t, want %t", value, got, want)
		}
		encoded := newSecret("refused", "")
		encoded.StringData, encoded.Data = nil, map[string][]byte{"id": []byte(value)}
		if got := refused(t, admin.Create(t.Context(), encoded, client.DryRunAll)); got != want {
			t.Errorf("data %.40q is refused: %t, want %t", value, got, want)
		}
		if refused(t, admin.Create(t.Context(), newSecret("shop", value), client.DryRunAll)) {
			t.Errorf("%.40q is refused in a namespace with the label", value)
		}
	}
	many := newSecret("refused", "")
	for i := range 5000 {
		many.StringData[fmt.Sprint("k", i)] = "LTAI is the start of a key, and this is a text of some length"
	}
	if refused(t, admin.Create(t.Context(), many, client.DryRunAll)) {
		t.Error("a Secret with 5000 keys is refused")
	}
}

func testWorkloads(t *testing.T) {
	for value, want := range map[string]bool{
		key: true, "id=" + key + ";": true,
		"STS.NUabcdefghijklmnopqrst": false, "": false, "LTAI": false, "LTAI-your-access-key-id": false, "ALTAI5tBcDeFgHjKmNpQ": false,
		"x" + strings.Repeat("LTAI", 50_000): false,
	} {
		for _, o := range workloads(t, value) {
			o.SetNamespace("refused")
			if got := refused(t, admin.Create(t.Context(), o.DeepCopy(), client.DryRunAll)); got != want {
				t.Errorf("%s with %.40q is refused: %t, want %t", o.GetKind(), value, got, want)
			}
			o.SetNamespace("shop")
			if refused(t, admin.Create(t.Context(), o, client.DryRunAll)) {
				t.Errorf("%s with %.40q is refused in a namespace with the label", o.GetKind(), value)
			}
		}
	}
	pod := parse(t, `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: refused, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: x, uid: u,
  controller: true}]}, spec: {containers: [{name: c, image: i, env: [{name: ID, value: `+key+`}]}]}}`)[0]
	if refused(t, admin.Create(t.Context(), pod, client.DryRunAll)) {
		t.Error("a pod of an existing ReplicaSet is refused")
	}
}

// Kyverno's CRD accepts its policies, which have the rules of the ValidatingAdmissionPolicies that TestNoAccessKeys tries.
func TestNoAccessKeysByKyverno(t *testing.T) {
	crd, err := environment.KyvernoCRD(t.Context())
	must(t, err)
	_, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{crd}})
	must(t, err)
	rules := map[string]any{}
	for _, o := range read(t, "config", "policies", "no-access-keys.yaml") {
		if o.GetKind() == "ValidatingAdmissionPolicy" {
			rules[o.GetName()] = o.Object["spec"]
		}
	}
	policies := read(t, "config", "policies", "kyverno.yaml")
	if len(policies) != len(rules) {
		t.Errorf("%d policies of Kyverno, want %d", len(policies), len(rules))
	}
	for _, o := range policies {
		must(t, admin.Create(t.Context(), o.DeepCopy(), client.DryRunAll))
		unstructured.RemoveNestedField(o.Object, "spec", "validationActions")
		unstructured.RemoveNestedField(o.Object, "spec", "evaluation")
		if !reflect.DeepEqual(o.Object["spec"], rules[o.GetName()]) {
			t.Errorf("%s has other rules in kyverno.yaml than in no-access-keys.yaml", o.GetName())
		}
	}
}
