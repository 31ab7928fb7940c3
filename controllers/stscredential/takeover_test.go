// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func called(secretName string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = secretName }
}

// holds waits until an StsCredential controls a Secret and its status names the credentials in it.
func (w *world) holds(c *v1alpha1.StsCredential, name string) {
	w.Helper()
	w.eventually(name+" is "+c.Name+"'s", func(context.Context) bool {
		s := w.secret(name)
		if s == nil {
			return false
		}
		owner := metav1.GetControllerOf(s)
		return owner != nil && owner.UID == c.UID
	})
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	w.wantWorking(name)
}

// Two StsCredentials that swap the names of their Secrets each get the other's, by events alone.
func TestSwappedSecretNames(t *testing.T) {
	w := newWorld(t)
	w.manage()
	a, b := w.credential("a", called("x")), w.credential("b", called("y"))
	w.holds(a, "x")
	w.holds(b, "y")
	w.edit(a, called("y"))
	w.become(a, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)
	w.holds(b, "y") // which it still wants
	w.edit(b, called("x"))
	w.holds(a, "y")
	w.holds(b, "x")
	w.wantCalls(4)
}

// An StsCredential that replaces another gets its Secret, in whatever order the two come and go.
func TestReplacedStsCredential(t *testing.T) {
	t.Run("the old one goes first", func(t *testing.T) {
		w := newWorld(t)
		w.manage()
		a := w.credential("a", called("x"))
		w.holds(a, "x")
		w.must(api.Delete(w.ctx, a))
		w.holds(w.credential("b", called("x")), "x")
	})
	t.Run("the new one comes first", func(t *testing.T) {
		w := newWorld(t)
		w.manage()
		a := w.credential("a", called("x"))
		w.holds(a, "x")
		b := w.credential("b", called("x"))
		w.become(b, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)
		w.must(api.Delete(w.ctx, a))
		w.holds(b, "x")
	})
}

// Where STS refuses whoever takes a Secret over, the Secret stays as it was.
func TestTakeoverWaitsForSTS(t *testing.T) {
	w := newWorld(t)
	a := w.credential("a", called("x"))
	w.pass(a)
	before := w.secret("x").ResourceVersion
	w.renamed(a, "x2")
	b := w.credential("b", called("x"))
	w.emulator.RemoveRole(role)
	w.pass(b)
	w.wantCondition(b, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused, "")
	if b.Status.AccessKeyID != "" {
		t.Error("the status names what another was issued")
	}
	if w.secret("x").ResourceVersion != before {
		t.Error("the Secret was written to")
	}
}
