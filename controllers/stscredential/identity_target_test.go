// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// wantAccessKey requires that a RAM user's AccessKey is still in its Secret.
func (env *environment) wantAccessKey(name string, before *corev1.Secret) {
	env.Helper()
	if got := env.Secret(name); got.ResourceVersion != before.ResourceVersion {
		env.Errorf("the Secret of the AccessKey was written to: keys %d, annotations %v", len(got.Data), got.Annotations)
	}
}

// annotateForAdoption is the owner's consent that an StsCredential writes to a Secret.
func (env *environment) annotateForAdoption(name, to string) *corev1.Secret {
	env.Helper()
	env.EditSecret(name, func(s *corev1.Secret) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationAdopt, to) })
	return env.Secret(name)
}

func withPlainFormat(c *v1alpha1.StsCredential) {
	c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatPlain}
}

// The schema refuses credentials that would be written over the AccessKey that they are asked for with.
func TestIdentityIsNotTheTarget(t *testing.T) {
	env := newEnvironment(t)
	for _, c := range []*v1alpha1.StsCredential{
		env.NewCredential("ram-user", withAccessKey("ram-user")),
		env.NewCredential("orders", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "ram-user" }),
	} {
		if err := api.Create(env.Context(), c); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v, want it refused", c.Name, err)
		}
	}
	env.Must(api.Create(env.Context(), env.NewCredential("ram-user", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })))
	c := env.CreateCredential("other", withAccessKey("ram-user"))
	c.Spec.Secret.Name = "ram-user"
	if err := api.Update(env.Context(), c); !apierrors.IsInvalid(err) {
		t.Errorf("renamed to the AccessKey's Secret: %v, want it refused", err)
	}
}

// One that was stored before, or slipped through, is refused by the operator, which says so.
func TestStoredIdentityIsNotTheTarget(t *testing.T) {
	env := newEnvironment(t)
	env.addUser("ram-user")
	c := env.CreateCredential("ram-user", withAccessKey("ram-user"), withPlainFormat, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })
	before := env.annotateForAdoption("ram-user", "ram-user")
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "" }) // identity as it was: the schema cannot distinguish it from an old object
	env.reconcile(c)
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "identity.accessKey.secretName: the credentials would be written over the AccessKey in Secret ram-user")
	env.wantAccessKey("ram-user", before)
}

// Nor is the AccessKey of another StsCredential of the namespace written over, whatever consent there is.
func TestIdentityOfAnotherIsNotAdopted(t *testing.T) {
	env := newEnvironment(t)
	env.addUser("ram-user")
	user := env.CreateCredential("payments", withAccessKey("ram-user"))
	env.reconcile(user)
	before := env.annotateForAdoption("ram-user", "orders")
	c := env.CreateCredential("orders", withPlainFormat, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "ram-user" })
	env.reconcile(c)
	env.reconcile(c)
	env.WantCalls(2) // one each
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "StsCredential payments reads its AccessKey from it")
	env.wantAccessKey("ram-user", before)
}
