// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// With the rights and behind the fence of an installation, the operator does all of its work.
func TestAdmissionLetsTheOperatorWork(t *testing.T) {
	env := newEnvironment(t)
	operator := env.restrictedClient()
	env.Client, env.APIReader = listsCached{operator}, operator
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	for _, tt := range []struct {
		name   string
		damage func(*corev1.Secret)
	}{
		{"edited", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }},
		{"labels stripped", func(s *corev1.Secret) { s.Labels = nil }},
		{"record and labels stripped", func(s *corev1.Secret) { s.Labels, s.Annotations = nil, nil }},
		{"owner stripped", func(s *corev1.Secret) { s.OwnerReferences = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env.Step(11 * time.Minute) // repairs are paced
			env.EditSecret("orders", tt.damage)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if s := env.Secret("orders"); !secret.Owned(s, c) || s.Labels[secret.UIDLabel] == "" {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
			env.wantWorking("orders")
		})
	}
}

// listsCached lists from the cache, which has the indexes, and does all else as the operator.
type listsCached struct{ client.Client }

func (listsCached) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return cached.List(ctx, list, options...)
}

// What somebody who has taken over the operator cannot do with its right to write Secrets, whatever RBAC says.
func TestAdmissionOfSecrets(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	operator := env.restrictedClient()
	object := func(name string, kind corev1.SecretType, labels map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name, Labels: labels,
			Annotations: map[string]string{corev1.ServiceAccountNameKey: "orders"}}, Type: kind}
	}
	ours := map[string]string{secret.UIDLabel: string(c.UID)}
	env.Must(api.Create(env.Context(), object("foreign", corev1.SecretTypeOpaque, nil)))
	env.Must(api.Create(env.Context(), object("consented", corev1.SecretTypeOpaque, nil)))
	env.Must(api.Patch(env.Context(), object("consented", "", nil), merge(`{"metadata":{"annotations":{"sts.alibabacloud.com/adopt":"orders"}}}`)))
	env.Must(api.Create(env.Context(), object("labelled-token", corev1.SecretTypeServiceAccountToken, ours)))
	for name, named := range map[string]string{"copy": "orders", "stripped": "stripped"} {
		s := object(name, corev1.SecretTypeOpaque, nil)
		s.Annotations["sts.alibabacloud.com/secret"] = env.Namespace + "/" + named
		if name == "copy" {
			s.Labels = ours
		}
		env.Must(api.Create(env.Context(), s))
	}
	env.Must(api.Create(env.Context(), object("unnamed", corev1.SecretTypeOpaque, ours)))
	for _, tt := range []struct {
		name string
		try  func() error
		want string
	}{
		{"a ServiceAccount's token", func() error {
			return operator.Create(env.Context(), object("token", corev1.SecretTypeServiceAccountToken, ours))
		}, "type Opaque alone"},
		{"a bootstrap token", func() error {
			return operator.Create(env.Context(), object("bootstrap", corev1.SecretTypeBootstrapToken, ours))
		}, "type Opaque alone"},
		{"an unmarked Secret", func() error { return operator.Create(env.Context(), object("unmarked", corev1.SecretTypeOpaque, nil)) }, "not its own"},
		{"a Secret with consent of its own making", func() error {
			s := object("self-consented", corev1.SecretTypeOpaque, nil)
			s.Annotations["sts.alibabacloud.com/adopt"] = "orders"
			return operator.Create(env.Context(), s)
		}, "not its own"},
		{"a write to a foreign Secret", func() error {
			return operator.Patch(env.Context(), object("foreign", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, "not its own"},
		{"a foreign Secret marked in the same write", func() error {
			return operator.Patch(env.Context(), object("foreign", "", nil), merge(`{"metadata":{"labels":{"`+secret.UIDLabel+`":"x"}}}`))
		}, "not its own"},
		{"a Secret of another type with our label", func() error {
			return operator.Patch(env.Context(), object("labelled-token", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, "type Opaque alone"},
		{"its own Secret", func() error {
			return operator.Patch(env.Context(), object("orders", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, ""},
		{"a copy", func() error {
			return operator.Patch(env.Context(), object("copy", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, "or are copies"},
		{"a Secret whose record names it, without label and owner", func() error {
			return operator.Patch(env.Context(), object("stripped", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, ""},
		{"a Secret whose owner consents", func() error {
			return operator.Patch(env.Context(), object("consented", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.try()
			if tt.want == "" && err != nil || tt.want != "" && (!denied(err) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	for _, foreign := range []string{"foreign", "consented", "copy", "unnamed"} {
		if err := operator.Delete(env.Context(), env.Secret(foreign)); !denied(err) {
			t.Errorf("the operator deletes the Secret %s: %v, want it denied", foreign, err)
		}
	}
	if err := operator.Delete(env.Context(), env.Secret("orders")); err != nil {
		t.Errorf("the operator deletes its own Secret: %v", err)
	}
	if err := env.impersonate("kubernetes-admin", "system:masters").Create(env.Context(), object("others", corev1.SecretTypeServiceAccountToken, nil)); err != nil {
		t.Errorf("others' Secrets are fenced too: %v", err)
	}
}

func merge(patch string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(patch))
}

// With the right to patch StsCredentials, the operator can put a finalizer on them and do nothing else.
func TestAdmissionOfStsCredentials(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	operator := env.restrictedClient()
	patch := func(patch string) error {
		return operator.Patch(env.Context(), &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: c.Name}}, merge(patch))
	}
	env.Eventually("the policy is in force", func(context.Context) bool { return denied(patch(`{"metadata":{"labels":{"probe":"x"}}}`)) })
	for _, refused := range []string{
		`{"spec":{"roleARN":"acs:ram::1234567890123456:role/admin"}}`,
		`{"spec":{"suspend":true},"metadata":{"finalizers":["sts.alibabacloud.com/adopted-secret"]}}`,
		`{"metadata":{"labels":{"team":"x"}}}`,
		`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"now"}}}`,
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}`,
	} {
		if err := patch(refused); !denied(err) {
			t.Errorf("%s: %v, want it denied", refused, err)
		}
	}
	for _, taken := range []string{`{"metadata":{"finalizers":["sts.alibabacloud.com/adopted-secret"]}}`, `{"metadata":{"finalizers":null}}`} {
		if err := patch(taken); err != nil {
			t.Errorf("%s: %v", taken, err)
		}
	}
}

// Behind the fence, the operator adopts, releases and takes former Secrets away.
func TestAdmissionLetsTheOperatorAdopt(t *testing.T) {
	env := newEnvironment(t)
	operator := env.restrictedClient()
	env.Client, env.APIReader = listsCached{operator}, operator
	env.createForeignSecret("theirs", "orders")
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "theirs" })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.renameSecret(c, "orders")
	env.renameSecret(c, "orders-v2")
	env.Step(time.Hour)
	env.reconcile(c)
	if s := env.Secret("theirs"); len(s.Data) != 1 || env.Secret("orders") != nil {
		t.Errorf("former Secrets: %v and %v", s, env.Secret("orders"))
	}
	env.deleteCredential(c)
}
