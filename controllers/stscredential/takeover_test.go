// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func withSecretName(secretName string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = secretName }
}

// waitForSecret waits until an StsCredential controls a Secret and its status names the credentials in it.
func (env *environment) waitForSecret(c *v1alpha1.StsCredential, name string) {
	env.Helper()
	env.Eventually(name+" is "+c.Name+"'s", func(context.Context) bool {
		s := env.Secret(name)
		if s == nil {
			return false
		}
		owner := metav1.GetControllerOf(s)
		return owner != nil && owner.UID == c.UID
	})
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	env.wantWorking(name)
}

// Two StsCredentials that swap the names of their Secrets each get the other's, by events alone.
func TestSwappedSecretNames(t *testing.T) {
	env := newEnvironment(t)
	env.startManager()
	a, b := env.CreateCredential("a", withSecretName("x")), env.CreateCredential("b", withSecretName("y"))
	env.waitForSecret(a, "x")
	env.waitForSecret(b, "y")
	env.Edit(a, withSecretName("y"))
	env.waitForCondition(a, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)
	env.waitForSecret(b, "y") // which it still wants
	env.Edit(b, withSecretName("x"))
	env.waitForSecret(a, "y")
	env.waitForSecret(b, "x")
	env.WantCalls(4)
}

// An StsCredential that replaces another gets its Secret, in whatever order the two come and go.
func TestReplacedStsCredential(t *testing.T) {
	t.Run("the old one goes first", func(t *testing.T) {
		env := newEnvironment(t)
		env.startManager()
		a := env.CreateCredential("a", withSecretName("x"))
		env.waitForSecret(a, "x")
		env.Must(api.Delete(env.Context(), a))
		env.waitForSecret(env.CreateCredential("b", withSecretName("x")), "x")
	})
	t.Run("the new one comes first", func(t *testing.T) {
		env := newEnvironment(t)
		env.startManager()
		a := env.CreateCredential("a", withSecretName("x"))
		env.waitForSecret(a, "x")
		b := env.CreateCredential("b", withSecretName("x"))
		env.waitForCondition(b, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict)
		env.Must(api.Delete(env.Context(), a))
		env.waitForSecret(b, "x")
	})
}

// Where STS refuses whoever takes a Secret over, the Secret stays as it was.
func TestTakeoverWaitsForSTS(t *testing.T) {
	env := newEnvironment(t)
	a := env.CreateCredential("a", withSecretName("x"))
	env.reconcile(a)
	before := env.Secret("x").ResourceVersion
	env.renameSecret(a, "x2")
	b := env.CreateCredential("b", withSecretName("x"))
	env.Emulator.RemoveRole(role)
	env.reconcile(b)
	env.WantCondition(b, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused, "")
	if b.Status.AccessKeyID != "" {
		t.Error("the status names what another was issued")
	}
	if env.Secret("x").ResourceVersion != before {
		t.Error("the Secret was written to")
	}
}
