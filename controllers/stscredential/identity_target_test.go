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

// wantKey insists that a RAM user's AccessKey is still in its Secret.
func (w *world) wantKey(name string, before *corev1.Secret) {
	w.Helper()
	if got := w.secret(name); got.ResourceVersion != before.ResourceVersion {
		w.Errorf("the Secret of the AccessKey was written to: keys %d, annotations %v", len(got.Data), got.Annotations)
	}
}

// consents is the owner's consent that an StsCredential writes to a Secret.
func (w *world) consents(name, to string) *corev1.Secret {
	w.Helper()
	w.editSecret(name, func(s *corev1.Secret) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationAdopt, to) })
	return w.secret(name)
}

func plain(c *v1alpha1.StsCredential) {
	c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatPlain}
}

// The schema refuses credentials that would be written over the AccessKey that they are asked for with.
func TestIdentityIsNotTheTarget(t *testing.T) {
	w := newWorld(t)
	for _, c := range []*v1alpha1.StsCredential{
		w.asks("ram-user", withAccessKey("ram-user")),
		w.asks("orders", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "ram-user" }),
	} {
		if err := api.Create(w.ctx, c); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v, want it refused", c.Name, err)
		}
	}
	w.must(api.Create(w.ctx, w.asks("ram-user", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })))
	c := w.credential("other", withAccessKey("ram-user"))
	c.Spec.Secret.Name = "ram-user"
	if err := api.Update(w.ctx, c); !apierrors.IsInvalid(err) {
		t.Errorf("renamed to the AccessKey's Secret: %v, want it refused", err)
	}
}

// One that was stored before, or slipped through, is refused by the operator, which says so.
func TestStoredIdentityIsNotTheTarget(t *testing.T) {
	w := newWorld(t)
	w.tenantUser("ram-user")
	c := w.credential("ram-user", withAccessKey("ram-user"), plain, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })
	before := w.consents("ram-user", "ram-user")
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "" }) // identity as it was: the schema cannot tell it from an old object
	w.pass(c)
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "identity.accessKey.secretName: the credentials would be written over the AccessKey in Secret ram-user")
	w.wantKey("ram-user", before)
}

// Nor is the AccessKey of another StsCredential of the namespace written over, whatever consent there is.
func TestIdentityOfAnotherIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.tenantUser("ram-user")
	user := w.credential("payments", withAccessKey("ram-user"))
	w.pass(user)
	before := w.consents("ram-user", "orders")
	c := w.credential("orders", plain, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "ram-user" })
	w.pass(c)
	w.pass(c)
	w.wantCalls(2) // one each
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "StsCredential payments reads its AccessKey from it")
	w.wantKey("ram-user", before)
}
