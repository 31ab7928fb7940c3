// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// With the rights and behind the fence of an installation, the operator does all of its work.
func TestAdmissionLetsTheOperatorWork(t *testing.T) {
	w := newWorld(t)
	operator := w.fenced()
	w.Client, w.Live = operator, operator
	c := w.credential("orders")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
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
			w.step(11 * time.Minute) // repairs are paced
			w.editSecret("orders", tt.damage)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if s := w.secret("orders"); !secret.Owned(s, c) || s.Labels[secret.UIDLabel] == "" {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
			w.wantWorking("orders")
		})
	}
}

// What somebody who has taken over the operator cannot do with its right to write Secrets, whatever RBAC says.
func TestAdmissionOfSecrets(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	operator := w.fenced()
	object := func(name string, kind corev1.SecretType, labels map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: labels,
			Annotations: map[string]string{corev1.ServiceAccountNameKey: "orders"}}, Type: kind}
	}
	ours := map[string]string{secret.UIDLabel: string(c.UID)}
	w.must(api.Create(w.ctx, object("foreign", corev1.SecretTypeOpaque, nil)))
	w.must(api.Create(w.ctx, object("consented", corev1.SecretTypeOpaque, nil)))
	w.must(api.Patch(w.ctx, object("consented", "", nil), merge(`{"metadata":{"annotations":{"sts.alibabacloud.com/adopt":"orders"}}}`)))
	w.must(api.Create(w.ctx, object("labelled-token", corev1.SecretTypeServiceAccountToken, ours)))
	for _, tt := range []struct {
		name string
		try  func() error
		want string
	}{
		{"a ServiceAccount's token", func() error {
			return operator.Create(w.ctx, object("token", corev1.SecretTypeServiceAccountToken, ours))
		}, "type Opaque alone"},
		{"a bootstrap token", func() error {
			return operator.Create(w.ctx, object("bootstrap", corev1.SecretTypeBootstrapToken, ours))
		}, "type Opaque alone"},
		{"an unmarked Secret", func() error { return operator.Create(w.ctx, object("unmarked", corev1.SecretTypeOpaque, nil)) }, "not its own"},
		{"a Secret with consent of its own making", func() error {
			s := object("self-consented", corev1.SecretTypeOpaque, nil)
			s.Annotations["sts.alibabacloud.com/adopt"] = "orders"
			return operator.Create(w.ctx, s)
		}, "not its own"},
		{"a write to a foreign Secret", func() error { return operator.Patch(w.ctx, object("foreign", "", nil), merge(`{"data":{"x":"eA=="}}`)) }, "not its own"},
		{"a foreign Secret marked in the same write", func() error {
			return operator.Patch(w.ctx, object("foreign", "", nil), merge(`{"metadata":{"labels":{"`+secret.UIDLabel+`":"x"}}}`))
		}, "not its own"},
		{"a Secret of another type with our label", func() error {
			return operator.Patch(w.ctx, object("labelled-token", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, "type Opaque alone"},
		{"its own Secret", func() error { return operator.Patch(w.ctx, object("orders", "", nil), merge(`{"data":{"x":"eA=="}}`)) }, ""},
		{"a Secret whose owner consents", func() error {
			return operator.Patch(w.ctx, object("consented", "", nil), merge(`{"data":{"x":"eA=="}}`))
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.try()
			if tt.want == "" && err != nil || tt.want != "" && (!denied(err) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if err := operator.Delete(w.ctx, w.secret("foreign")); !apierrors.IsForbidden(err) {
		t.Errorf("the operator deletes a Secret: %v, want it forbidden", err)
	}
	if err := w.as("kubernetes-admin", "system:masters").Create(w.ctx, object("others", corev1.SecretTypeServiceAccountToken, nil)); err != nil {
		t.Errorf("others' Secrets are fenced too: %v", err)
	}
}

func merge(patch string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(patch))
}
