// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// objects reads a stream of YAML documents.
func objects(t *testing.T, document []byte) (all []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(document), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

// What `kubectl apply -k config/default` sends is taken by a real API server, field by field.
func TestDefaultConfig(t *testing.T) {
	w := newWorld(t)
	document, err := exec.CommandContext(w.ctx, filepath.Join(plane.Assets(), "kubectl"), "kustomize", filepath.Join("..", "..", "config", "default")).Output()
	w.must(err)
	kinds := map[string]int{}
	strict := client.WithFieldValidation(api, metav1.FieldValidationStrict)
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sts-system"}})))
	for _, o := range objects(t, document) {
		kinds[o.GetKind()]++
		if err := strict.Create(w.ctx, o, client.DryRunAll); client.IgnoreAlreadyExists(err) != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	for _, kind := range []string{"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount", "Namespace", "Deployment"} {
		if kinds[kind] == 0 {
			t.Errorf("config/default has no %s", kind)
		}
	}
}

// The samples do what their comments say.
func TestSamples(t *testing.T) {
	w := newWorld(t)
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})))
	var credentials []*v1alpha1.StsCredential
	for _, sample := range []string{"stsrolegrant.yaml", "stscredential.yaml", "stscredential-policy.yaml", "stscredential-serviceaccount.yaml", "stscredential-accesskey.yaml", "stscredential-formats.yaml", "workload.yaml"} {
		document, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", sample))
		w.must(err)
		for _, o := range objects(t, document) {
			if o.GetKind() == "Pod" {
				w.must(client.WithFieldValidation(api, metav1.FieldValidationStrict).Create(w.ctx, o, client.DryRunAll))
				continue
			}
			w.must(client.WithFieldValidation(api, metav1.FieldValidationStrict).Create(w.ctx, o))
			t.Cleanup(func() { _ = api.Delete(t.Context(), o) })
			if o.GetKind() == "StsCredential" {
				credentials = append(credentials, &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}})
			}
		}
	}
	w.namespace = "shop"
	w.trustServiceAccounts("orders", "acs:ram::"+account+":oidc-provider/ack-rrsa-c1", "acs:ram::"+account+":role/orders-writer")
	w.tenantUser("ram-user")
	w.Cleanup(func() {
		_ = api.Delete(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ram-user"}})
	})
	for _, c := range credentials {
		w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
		w.pass(c)
		w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		if len(c.Spec.Secret.Formats) == 0 { // others have other keys
			w.wantWorking(c.SecretName())
		}
	}
	if len(credentials) != 5 {
		t.Errorf("%d StsCredentials among the samples", len(credentials))
	}
}
