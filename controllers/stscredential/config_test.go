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
	env := newEnvironment(t)
	document, err := exec.CommandContext(env.Context(), filepath.Join(cluster.Assets(), "kubectl"), "kustomize", filepath.Join("..", "..", "config", "default")).Output()
	env.Must(err)
	kinds := map[string]int{}
	strict := client.WithFieldValidation(api, metav1.FieldValidationStrict)
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sts-system"}})))
	for _, o := range objects(t, document) {
		kinds[o.GetKind()]++
		if err := strict.Create(env.Context(), o, client.DryRunAll); client.IgnoreAlreadyExists(err) != nil {
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
	env := newEnvironment(t)
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})))
	var credentials []*v1alpha1.StsCredential
	for _, sample := range []string{"stsrolegrant.yaml", "stscredential.yaml", "stscredential-policy.yaml", "stscredential-serviceaccount.yaml", "stscredential-accesskey.yaml", "stscredential-formats.yaml", "stscredential-agent.yaml", "workload.yaml"} {
		document, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", sample))
		env.Must(err)
		for _, o := range objects(t, document) {
			if o.GetKind() == "Pod" {
				env.Must(client.WithFieldValidation(api, metav1.FieldValidationStrict).Create(env.Context(), o, client.DryRunAll))
				continue
			}
			env.Must(client.WithFieldValidation(api, metav1.FieldValidationStrict).Create(env.Context(), o))
			t.Cleanup(func() { _ = api.Delete(t.Context(), o) })
			if o.GetKind() == "StsCredential" {
				credentials = append(credentials, &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}})
			}
		}
	}
	env.Namespace = "shop"
	env.trustServiceAccounts("orders", "acs:ram::"+account+":oidc-provider/ack-rrsa-c1", "acs:ram::"+account+":role/orders-writer")
	env.addUser("ram-user")
	env.Cleanup(func() {
		_ = api.Delete(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ram-user"}})
	})
	for _, c := range credentials {
		env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
		env.reconcile(c)
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		if len(c.Spec.Secret.Formats) == 0 { // others have other keys
			env.wantWorking(c.SecretName())
		}
	}
	if len(credentials) != 6 {
		t.Errorf("%d StsCredentials among the samples", len(credentials))
	}
}
