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

// renamed gives a credential another Secret and looks.
func (w *world) renamed(c *v1alpha1.StsCredential, name string) {
	w.Helper()
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = name })
	w.pass(c)
}

func TestRename(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	old := w.wantWorking("orders")
	w.step(10 * time.Minute)
	w.renamed(c, "orders-v2")
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "Secret orders-v2")
	w.wantWorking("orders-v2")
	if w.wantWorking("orders") != old {
		t.Error("the former Secret changed")
	}
	if next := w.pass(c).RequeueAfter; next > 50*time.Minute {
		t.Errorf("next look in %v: the former Secret expires before", next)
	}

	w.step(49 * time.Minute)
	w.pass(c)
	if w.secret("orders") == nil {
		t.Fatal("the former Secret is gone before its triple has expired")
	}
	w.step(time.Minute)
	w.pass(c)
	if w.secret("orders") != nil {
		t.Error("the former Secret stays after its triple has expired")
	}
	w.wantWorking("orders-v2")
	w.wantCalls(3) // and one renewal
}

// What was written under a former name stays as long as there is nothing better, and while the object is suspended.
func TestFormerSecretStays(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.somebodys("taken", "")
	w.renamed(c, "taken")
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	w.step(2 * time.Hour)
	w.pass(c)
	if w.secret("orders") == nil {
		t.Error("the former Secret went, though there is no other")
	}

	w.renamed(c, "orders-v2")
	if w.secret("orders") != nil {
		t.Error("the former Secret stays")
	}
	w.renamed(c, "orders-v3")
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	w.step(2 * time.Hour)
	w.pass(c)
	if w.secret("orders-v2") == nil {
		t.Error("a former Secret of a suspended object went")
	}
}

func TestRenameBackAndForth(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	first := w.wantWorking("orders")
	w.renamed(c, "orders-v2")
	w.renamed(c, "orders")
	w.wantCalls(2)
	if w.wantWorking("orders") != first || c.Status.AccessKeyID != first {
		t.Error("what was still good was not used")
	}
}

func TestFormerAdoptedSecretIsReleased(t *testing.T) {
	w := newWorld(t)
	w.somebodys("theirs", "orders")
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "theirs" })
	w.pass(c)
	w.renamed(c, "orders")
	w.wantWorking("theirs")
	w.step(time.Hour)
	w.pass(c)
	s := w.secret("theirs")
	if s == nil || len(s.Data) != 1 || string(s.Data["password"]) != "theirs" || s.Labels[secret.UIDLabel] != "" {
		t.Fatalf("the adopted Secret is %v", s)
	}

	w.editSecret("theirs", func(s *corev1.Secret) { s.Data["more"] = []byte("x") })
	w.renamed(c, "theirs")
	w.renamed(c, "orders")
	w.deleted(c) // before the former one has expired
	if s := w.secret("theirs"); s == nil || len(s.Data) != 2 {
		t.Errorf("left of the adopted Secret: %v", s)
	}
}
