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
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// createForeignSecret makes a Secret that was there before any StsCredential.
func (env *environment) createForeignSecret(name, consent string) *corev1.Secret {
	env.Helper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name, Labels: map[string]string{"team": "shop"}},
		Data:       map[string][]byte{"password": []byte("theirs"), secret.KeyAccessKeyID: []byte("LTAIold")},
	}
	if consent != "" {
		s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: consent}
	}
	env.Must(api.Create(env.Context(), s))
	return s
}

// deleteCredential deletes an StsCredential and lets the operator take its leave.
func (env *environment) deleteCredential(c *v1alpha1.StsCredential) {
	env.Helper()
	env.Must(api.Delete(env.Context(), c))
	env.reconcile(c)
	env.Eventually("the object is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(c), &v1alpha1.StsCredential{}))
	})
}

func withRetain(c *v1alpha1.StsCredential) {
	c.Spec.Secret.DeletionPolicy = v1alpha1.DeletionPolicyRetain
}

func TestAdoption(t *testing.T) {
	env := newEnvironment(t)
	env.createForeignSecret("orders", "")
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCalls(1) // whose credentials are kept
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")

	env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: "payments"} })
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")

	env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "orders" })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.wantWorking("orders")
	s := env.Secret("orders")
	if string(s.Data["password"]) != "theirs" || s.Labels["team"] != "shop" || len(s.OwnerReferences) != 0 {
		t.Errorf("the adopted Secret lost what was there, or got an owner: %v", s.ObjectMeta)
	}
	if !slices.Contains(c.Finalizers, v1alpha1.FinalizerAdoptedSecret) {
		t.Errorf("finalizers = %v", c.Finalizers)
	}

	// Its consent may go once it has been used; a renewal changes nothing of that, nor does another reconcile.
	env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationAdopt) })
	env.Step(time.Hour)
	env.reconcile(c)
	env.reconcile(c)
	env.WantCalls(2)
	env.wantWorking("orders")
	if s := env.Secret("orders"); len(s.OwnerReferences) != 0 || string(s.Data["password"]) != "theirs" {
		t.Errorf("after a renewal: %v", s.ObjectMeta)
	}

	env.deleteCredential(c)
	s = env.Secret("orders")
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
		resolve func(*environment)
	}{
		"consent": {"orders", nil},
		"consent, later": {"", func(env *environment) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationAdopt: "orders"} })
		}},
		"deletion, later": {"", func(env *environment) { env.Must(api.Delete(env.Context(), env.Secret("orders"))) }},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			before := env.createForeignSecret("orders", tt.consent)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.WantCalls(1)
			if tt.resolve != nil {
				env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")
				for range 3 {
					env.Step(retry.Blocked)
					env.reconcile(c)
				}
				if env.Secret("orders").ResourceVersion != before.ResourceVersion {
					t.Error("the Secret was written to without consent")
				}
				tt.resolve(env)
				env.reconcile(c)
			}
			env.WantCalls(1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")
		})
	}
}

// A consent names one StsCredential, and takes nothing from another one that is the Secret's controller.
func TestConsentDoesNotOverrideAController(t *testing.T) {
	env := newEnvironment(t)
	first := env.CreateCredential("first", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" })
	env.reconcile(first)
	env.EditSecret("shared", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "second" })
	second := env.CreateCredential("second", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" })
	env.reconcile(second)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential first")
	env.reconcile(first)
	env.WantCalls(1)
	env.WantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// A retained Secret is its StsCredential's by its record, whatever is consented to. Whoever takes the StsCredential's name out
// of the record and consents hands it to another one, and the two do not fight.
func TestConsentMovesARetainedSecret(t *testing.T) {
	env := newEnvironment(t)
	shared := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first := env.CreateCredential("first", shared, withRetain)
	env.reconcile(first)
	second := env.CreateCredential("second", shared, withRetain)
	env.reconcile(second)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	env.EditSecret("shared", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "second" })
	env.reconcile(second)
	env.reconcile(first)
	env.WantCalls(1)
	env.WantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict,
		"kubectl -n "+env.Namespace+" annotate secret shared --overwrite sts.alibabacloud.com/credential- sts.alibabacloud.com/adopt=second")
	env.EditSecret("shared", func(s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/credential") })
	env.reconcile(second)
	env.reconcile(first)
	env.reconcile(second)
	env.WantCalls(2)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(first, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
}

// A Secret that is consented to is not touched before there is something to write to it.
func TestConsentedSecretWaitsUntouched(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	before := env.createForeignSecret("orders", "orders")
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	if env.Secret("orders").ResourceVersion != before.ResourceVersion || len(c.Finalizers) != 0 {
		t.Error("the Secret or the object was written to before anything was issued")
	}
	env.deleteCredential(c)
	if env.Secret("orders").ResourceVersion != before.ResourceVersion {
		t.Error("the Secret was written to at deletion")
	}
}

// A Secret that comes between read and write, with its owner's consent, is adopted and not taken for the operator's own.
func TestConsentedSecretComesMeanwhile(t *testing.T) {
	env := newEnvironment(t)
	once := sync.OnceFunc(func() { env.createForeignSecret("orders", "orders") })
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			once()
			return c.Create(ctx, o, opts...)
		},
	})
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.deleteCredential(c)
	if s := env.Secret("orders"); s == nil || len(s.Data) != 1 {
		t.Errorf("left of the adopted Secret: %v", s)
	}
}

// Where an adopted Secret is deleted, the operator makes one of its own.
func TestAdoptedSecretIsDeleted(t *testing.T) {
	env := newEnvironment(t)
	env.createForeignSecret("orders", "orders")
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if s := env.Secret("orders"); !metav1.IsControlledBy(s, c) || secret.Adopted(s) {
		t.Errorf("a Secret of the operator's own making has no owner: %v", s.ObjectMeta)
	}
	env.deleteCredential(c)
	env.Eventually("the Secret is garbage collected", func(context.Context) bool { return env.Secret("orders") == nil })
}

func TestReleaseThatIsRefusedForGood(t *testing.T) {
	env := newEnvironment(t)
	env.createForeignSecret("orders", "orders")
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.EditSecret("orders", func(s *corev1.Secret) { s.Immutable = new(true) })
	env.RecordedEvents()
	env.deleteCredential(c)
	if reported := strings.Join(env.RecordedEvents(), "\n"); !strings.Contains(reported, "failed to remove the credentials from Secret orders: Invalid (422): field is immutable") {
		t.Errorf("events %q", reported)
	}
}

func TestDeletionPolicy(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(env *environment) *v1alpha1.StsCredential
	}{
		{"from the start", func(env *environment) *v1alpha1.StsCredential {
			c := env.CreateCredential("orders", withRetain)
			env.reconcile(c)
			return c
		}},
		{"changed later", func(env *environment) *v1alpha1.StsCredential {
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.Edit(c, withRetain)
			env.reconcile(c)
			return c
		}},
		{"of an adopted Secret", func(env *environment) *v1alpha1.StsCredential {
			env.createForeignSecret("orders", "orders")
			c := env.CreateCredential("orders", withRetain)
			env.reconcile(c)
			return c
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := tt.given(env)
			env.WantCalls(1)
			if owners := env.Secret("orders").OwnerReferences; len(owners) != 0 {
				t.Fatalf("owners = %v", owners)
			}
			id := env.wantWorking("orders")
			env.deleteCredential(c)
			if env.wantWorking("orders") != id {
				t.Error("the Secret changed")
			}
			// Created again, the object takes it over without a call.
			again := env.CreateCredential("orders", withRetain)
			env.reconcile(again)
			env.WantCalls(1)
			env.WantCondition(again, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if again.Status.AccessKeyID != id {
				t.Errorf("the status names %s, want %s", again.Status.AccessKeyID, id)
			}
		})
	}
	t.Run("changed back", func(t *testing.T) {
		env := newEnvironment(t)
		c := env.CreateCredential("orders", withRetain)
		env.reconcile(c)
		env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.DeletionPolicy = v1alpha1.DeletionPolicyDelete })
		env.reconcile(c)
		env.WantCalls(1)
		if !metav1.IsControlledBy(env.Secret("orders"), c) {
			t.Error("the Secret has no owner")
		}
	})
}
