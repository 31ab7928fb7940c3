// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// somebodys makes a Secret that was there before any StsCredential.
func (w *world) somebodys(name, consent string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"team": "shop"}},
		Data:       map[string][]byte{"password": []byte("theirs"), secret.KeyAccessKeyID: []byte("LTAIold")},
	}
	if consent != "" {
		s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: consent}
	}
	w.must(api.Create(w.ctx, s))
	return s
}

// deleted deletes an StsCredential and lets the operator take its leave.
func (w *world) deleted(c *v1alpha1.StsCredential) {
	w.Helper()
	w.must(api.Delete(w.ctx, c))
	w.pass(c)
	w.eventually("the object is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(c), &v1alpha1.StsCredential{}))
	})
}

func retain(c *v1alpha1.StsCredential) { c.Spec.Secret.DeletionPolicy = v1alpha1.DeletionPolicyRetain }

func TestAdoption(t *testing.T) {
	w := newWorld(t)
	w.somebodys("orders", "")
	c := w.credential("orders")
	w.pass(c)
	w.wantCalls(1) // whose credentials are kept
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")

	w.editSecret("orders", func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: "payments"} })
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")

	w.editSecret("orders", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "orders" })
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantWorking("orders")
	s := w.secret("orders")
	if string(s.Data["password"]) != "theirs" || s.Labels["team"] != "shop" || len(s.OwnerReferences) != 0 {
		t.Errorf("the adopted Secret lost what was there, or got an owner: %v", s.ObjectMeta)
	}
	if !slices.Contains(c.Finalizers, v1alpha1.FinalizerAdoptedSecret) {
		t.Errorf("finalizers = %v", c.Finalizers)
	}

	// Its consent may go once it has been used; a renewal changes nothing of that, nor does another look.
	w.editSecret("orders", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationAdopt) })
	w.step(time.Hour)
	w.pass(c)
	w.pass(c)
	w.wantCalls(2)
	w.wantWorking("orders")
	if s := w.secret("orders"); len(s.OwnerReferences) != 0 || string(s.Data["password"]) != "theirs" {
		t.Errorf("after a renewal: %v", s.ObjectMeta)
	}

	w.deleted(c)
	s = w.secret("orders")
	if s == nil {
		t.Fatal("the adopted Secret was deleted")
	}
	if len(s.Data) != 1 || string(s.Data["password"]) != "theirs" || len(s.Labels) != 1 || len(s.Annotations) != 0 {
		t.Errorf("left are keys %v, labels %v, annotations %v", s.Data, s.Labels, s.Annotations)
	}
}

// The first create meets a Secret that the cache does not show. What STS has issued by then is not lost: it is written to the
// Secret where its owner consents, at once or later, or to a new one once the Secret is gone.
func TestFirstIssuanceMeetsASecret(t *testing.T) {
	for name, tt := range map[string]struct {
		consent string
		resolve func(*world)
	}{
		"consent": {"orders", nil},
		"consent, later": {"", func(w *world) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: "orders"} })
		}},
		"deletion, later": {"", func(w *world) { w.must(api.Delete(w.ctx, w.secret("orders"))) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.somebodys("orders", tt.consent)
			c := w.credential("orders")
			w.pass(c)
			w.wantCalls(1)
			if tt.resolve != nil {
				w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")
				for range 3 {
					w.step(conflictRetry)
					w.pass(c)
				}
				if w.secret("orders").ResourceVersion != before.ResourceVersion {
					t.Error("the Secret was written to without consent")
				}
				tt.resolve(w)
				w.pass(c)
			}
			w.wantCalls(1)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")
		})
	}
}

// A consent names one StsCredential, and takes nothing from another one that is the Secret's controller.
func TestConsentDoesNotOverrideAController(t *testing.T) {
	w := newWorld(t)
	first := w.credential("first", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" })
	w.pass(first)
	w.editSecret("shared", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "second" })
	second := w.credential("second", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" })
	w.pass(second)
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential first")
	w.pass(first)
	w.wantCalls(1)
	w.wantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// A retained Secret is its StsCredential's by its record, whatever is consented to. Whoever takes the StsCredential's name out
// of the record and consents hands it to another one, and the two do not fight.
func TestConsentMovesARetainedSecret(t *testing.T) {
	w := newWorld(t)
	shared := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first := w.credential("first", shared, retain)
	w.pass(first)
	second := w.credential("second", shared, retain)
	w.pass(second)
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	w.editSecret("shared", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "second" })
	w.pass(second)
	w.pass(first)
	w.wantCalls(1)
	w.wantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict,
		"kubectl -n "+w.namespace+" annotate secret shared --overwrite sts.alibabacloud.com/credential- sts.alibabacloud.com/adopt=second")
	w.editSecret("shared", func(s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/credential") })
	w.pass(second)
	w.pass(first)
	w.pass(second)
	w.wantCalls(2)
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(first, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
}

// A Secret that is consented to is not touched before there is something to write to it.
func TestConsentedSecretWaitsUntouched(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	before := w.somebodys("orders", "orders")
	c := w.credential("orders")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	if w.secret("orders").ResourceVersion != before.ResourceVersion || len(c.Finalizers) != 0 {
		t.Error("the Secret or the object was written to before anything was issued")
	}
	w.deleted(c)
	if w.secret("orders").ResourceVersion != before.ResourceVersion {
		t.Error("the Secret was written to at deletion")
	}
}

// A Secret that comes between look and write, with its owner's consent, is adopted and not taken for the operator's own.
func TestConsentedSecretComesMeanwhile(t *testing.T) {
	w := newWorld(t)
	once := sync.OnceFunc(func() { w.somebodys("orders", "orders") })
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			once()
			return c.Create(ctx, o, opts...)
		},
	})
	c := w.credential("orders")
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.deleted(c)
	if s := w.secret("orders"); s == nil || len(s.Data) != 1 {
		t.Errorf("left of the adopted Secret: %v", s)
	}
}

// Where an adopted Secret is deleted, the operator makes one of its own.
func TestAdoptedSecretIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.somebodys("orders", "orders")
	c := w.credential("orders")
	w.pass(c)
	w.must(api.Delete(w.ctx, w.secret("orders")))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if s := w.secret("orders"); !metav1.IsControlledBy(s, c) || secret.Adopted(s) {
		t.Errorf("a Secret of the operator's own making has no owner: %v", s.ObjectMeta)
	}
	w.deleted(c)
	w.eventually("the Secret is garbage collected", func(context.Context) bool { return w.secret("orders") == nil })
}

func TestReleaseThatIsRefusedForGood(t *testing.T) {
	w := newWorld(t)
	w.somebodys("orders", "orders")
	c := w.credential("orders")
	w.pass(c)
	w.editSecret("orders", func(s *corev1.Secret) { s.Immutable = new(true) })
	w.told()
	w.deleted(c)
	if told := strings.Join(w.told(), "\n"); !strings.Contains(told, "Secret orders stays there until it expires") {
		t.Errorf("told %q", told)
	}
}

func TestDeletionPolicy(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(w *world) *v1alpha1.StsCredential
	}{
		{"from the start", func(w *world) *v1alpha1.StsCredential {
			c := w.credential("orders", retain)
			w.pass(c)
			return c
		}},
		{"changed later", func(w *world) *v1alpha1.StsCredential {
			c := w.credential("orders")
			w.pass(c)
			w.edit(c, retain)
			w.pass(c)
			return c
		}},
		{"of an adopted Secret", func(w *world) *v1alpha1.StsCredential {
			w.somebodys("orders", "orders")
			c := w.credential("orders", retain)
			w.pass(c)
			return c
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := tt.given(w)
			w.wantCalls(1)
			if owners := w.secret("orders").OwnerReferences; len(owners) != 0 {
				t.Fatalf("owners = %v", owners)
			}
			id := w.wantWorking("orders")
			w.deleted(c)
			if w.wantWorking("orders") != id {
				t.Error("the Secret changed")
			}
			// Created again, the object takes it over without a call.
			again := w.credential("orders", retain)
			w.pass(again)
			w.wantCalls(1)
			w.wantCondition(again, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if again.Status.AccessKeyID != id {
				t.Errorf("status tells of %s, want %s", again.Status.AccessKeyID, id)
			}
		})
	}
	t.Run("changed back", func(t *testing.T) {
		w := newWorld(t)
		c := w.credential("orders", retain)
		w.pass(c)
		w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.DeletionPolicy = v1alpha1.DeletionPolicyDelete })
		w.pass(c)
		w.wantCalls(1)
		if !metav1.IsControlledBy(w.secret("orders"), c) {
			t.Error("the Secret has no owner")
		}
	})
}
