// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

const othersFinalizer = "example.com/others"

// adoptSecret creates an StsCredential that adopts a Secret.
func (env *environment) adoptSecret() *v1alpha1.StsCredential {
	env.Helper()
	env.createForeignSecret("orders", "orders")
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	return c
}

// wantStripped requires that the adopted Secret has only the keys of its owner.
func (env *environment) wantStripped(name string) {
	env.Helper()
	if s := env.Secret(name); s == nil || len(s.Data) != 1 || string(s.Data["password"]) != "theirs" {
		env.Errorf("left of the adopted Secret %s: %v", name, s)
	}
}

// kubectl replace without finalizers: the removal queues the StsCredential, and the finalizer is restored first.
func TestFinalizerIsRestored(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(env *environment, c *v1alpha1.StsCredential)
	}{
		{"while all is well", func(*environment, *v1alpha1.StsCredential) {}},
		{"while it is suspended", func(_ *environment, c *v1alpha1.StsCredential) { c.Spec.Suspend = true }},
		{"while nothing is granted", func(env *environment, _ *v1alpha1.StsCredential) { env.Revoke() }},
		{"after a rename", func(_ *environment, c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders-v2" }},
		{"after a rename to a taken name", func(env *environment, c *v1alpha1.StsCredential) {
			env.createForeignSecret("taken", "")
			c.Spec.Secret.Name = "taken"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.adoptSecret()
			replaced := c.DeepCopy()
			replaced.Finalizers = nil
			if !specOrRenewRequest().Update(event.UpdateEvent{ObjectOld: c, ObjectNew: replaced}) {
				t.Error("the removal queues nothing")
			}
			env.Edit(c, func(c *v1alpha1.StsCredential) {
				c.Finalizers = nil
				tt.given(env, c)
			})
			env.reconcile(c)
			if !slices.Contains(c.Finalizers, v1alpha1.FinalizerAdoptedSecret) {
				t.Fatalf("finalizers = %v", c.Finalizers)
			}
			env.deleteCredential(c)
			env.wantStripped("orders")
		})
	}
}

// No write to an adopted Secret comes before the finalizer: not even of labels.
func TestNoWriteBeforeTheFinalizer(t *testing.T) {
	env := newEnvironment(t)
	c := env.adoptSecret()
	env.Edit(c, func(c *v1alpha1.StsCredential) {
		c.Finalizers = nil
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "other"}
	})
	var order []string
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*corev1.Secret); ok {
				order = append(order, "Secret")
			} else {
				order = append(order, "finalizer")
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	env.reconcile(c)
	if !slices.Equal(order, []string{"finalizer", "Secret"}) {
		t.Errorf("written were %v", order)
	}
}

// Finalizers of others stay, also where the cache does not show them.
func TestOthersFinalizersStay(t *testing.T) {
	env := newEnvironment(t)
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			err := cl.Get(ctx, key, o, opts...)
			if c, ok := o.(*v1alpha1.StsCredential); ok && err == nil {
				c.Finalizers = slices.DeleteFunc(c.Finalizers, func(f string) bool { return f != v1alpha1.FinalizerAdoptedSecret })
			}
			return err
		},
	})
	env.createForeignSecret("orders", "orders")
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{othersFinalizer} })
	env.reconcile(c)
	if want := []string{othersFinalizer, v1alpha1.FinalizerAdoptedSecret}; !slices.Equal(c.Finalizers, want) {
		t.Fatalf("finalizers = %v, want %v", c.Finalizers, want)
	}
	env.Must(api.Delete(env.Context(), c))
	env.reconcile(c)
	env.wantStripped("orders")
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	if want := []string{othersFinalizer}; !slices.Equal(c.Finalizers, want) {
		t.Errorf("after the deletion, finalizers = %v, want %v", c.Finalizers, want)
	}
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// What was edited in an adopted Secret is not taken out of it: it may be its owner's. An event says that it stays.
func TestEditedAdoptedSecretIsNotStripped(t *testing.T) {
	env := newEnvironment(t)
	c := env.adoptSecret()
	env.Step(time.Minute)
	env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/managed-keys"] += ",password" })
	env.RecordedEvents()
	env.deleteCredential(c)
	if s := env.Secret("orders"); string(s.Data["password"]) != "theirs" {
		t.Errorf("left of the adopted Secret: %v", s.Data)
	}
	if recorded := env.RecordedEvents(); len(recorded) != 1 {
		t.Errorf("events %q", recorded)
	}
}
