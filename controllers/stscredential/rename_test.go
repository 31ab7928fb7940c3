// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// renameSecret gives a credential another Secret and reconciles it.
func (env *environment) renameSecret(c *v1alpha1.StsCredential, name string) {
	env.Helper()
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = name })
	env.reconcile(c)
}

func TestRename(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	old := env.wantWorking("orders")
	env.Step(10 * time.Minute)
	env.renameSecret(c, "orders-v2")
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "Secret orders-v2")
	env.wantWorking("orders-v2")
	if env.wantWorking("orders") != old {
		t.Error("the former Secret changed")
	}
	if next := env.reconcile(c).RequeueAfter; next > 50*time.Minute {
		t.Errorf("requeue after %v: the former Secret expires before", next)
	}

	env.Step(49 * time.Minute)
	env.reconcile(c)
	if env.Secret("orders") == nil {
		t.Fatal("the former Secret is gone before its credentials has expired")
	}
	env.Step(time.Minute)
	env.reconcile(c)
	if env.Secret("orders") != nil {
		t.Error("the former Secret stays after its credentials has expired")
	}
	env.wantWorking("orders-v2")
	env.WantCalls(3) // and one renewal
}

// What was written under a former name stays as long as there is nothing better, and while the object is suspended.
func TestFormerSecretStays(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.createForeignSecret("taken", "")
	env.renameSecret(c, "taken")
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	env.Step(2 * time.Hour)
	env.reconcile(c)
	if env.Secret("orders") == nil {
		t.Error("the former Secret went, though there is no other")
	}

	env.renameSecret(c, "orders-v2")
	if env.Secret("orders") != nil {
		t.Error("the former Secret stays")
	}
	env.renameSecret(c, "orders-v3")
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	env.Step(2 * time.Hour)
	env.reconcile(c)
	if env.Secret("orders-v2") == nil {
		t.Error("a former Secret of a suspended object went")
	}
}

func TestRenameBackAndForth(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	first := env.wantWorking("orders")
	env.renameSecret(c, "orders-v2")
	env.renameSecret(c, "orders")
	env.WantCalls(2)
	if env.wantWorking("orders") != first || c.Status.AccessKeyID != first {
		t.Error("what was still good was not used")
	}
}

func TestFormerAdoptedSecretIsReleased(t *testing.T) {
	env := newEnvironment(t)
	env.createForeignSecret("theirs", "orders")
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "theirs" })
	env.reconcile(c)
	env.renameSecret(c, "orders")
	env.wantWorking("theirs")
	env.Step(time.Hour)
	env.reconcile(c)
	s := env.Secret("theirs")
	if s == nil || len(s.Data) != 1 || string(s.Data["password"]) != "theirs" || s.Labels[secret.UIDLabel] != "" {
		t.Fatalf("the adopted Secret is %v", s)
	}

	env.EditSecret("theirs", func(s *corev1.Secret) { s.Data["more"] = []byte("x") })
	env.renameSecret(c, "theirs")
	env.renameSecret(c, "orders")
	env.deleteCredential(c) // before the former one has expired
	if s := env.Secret("theirs"); s == nil || len(s.Data) != 2 {
		t.Errorf("left of the adopted Secret: %v", s)
	}
}
