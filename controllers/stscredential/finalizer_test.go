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
)

const othersFinalizer = "example.com/others"

// adopting makes an StsCredential with a Secret that it has adopted.
func (w *world) adopting() *v1alpha1.StsCredential {
	w.Helper()
	w.somebodys("orders", "orders")
	c := w.credential("orders")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	return c
}

// wantReleased insists that nothing of what was written is left in the adopted Secret.
func (w *world) wantReleased(name string) {
	w.Helper()
	if s := w.secret(name); s == nil || len(s.Data) != 1 || string(s.Data["password"]) != "theirs" {
		w.Errorf("left of the adopted Secret %s: %v", name, s)
	}
}

// kubectl replace without finalizers: the removal wakes the operator, and the finalizer is back before anything else.
func TestFinalizerIsPutBack(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(w *world, c *v1alpha1.StsCredential)
	}{
		{"while all is well", func(*world, *v1alpha1.StsCredential) {}},
		{"while it is suspended", func(_ *world, c *v1alpha1.StsCredential) { c.Spec.Suspend = true }},
		{"while nothing is granted", func(w *world, _ *v1alpha1.StsCredential) { w.revoke() }},
		{"after a rename", func(_ *world, c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders-v2" }},
		{"after a rename to a taken name", func(w *world, c *v1alpha1.StsCredential) {
			w.somebodys("taken", "")
			c.Spec.Secret.Name = "taken"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.adopting()
			replaced := c.DeepCopy()
			replaced.Finalizers = nil
			if !specOrRenewRequest().Update(event.UpdateEvent{ObjectOld: c, ObjectNew: replaced}) {
				t.Error("the removal wakes nobody")
			}
			w.edit(c, func(c *v1alpha1.StsCredential) {
				c.Finalizers = nil
				tt.given(w, c)
			})
			w.pass(c)
			if !slices.Contains(c.Finalizers, v1alpha1.FinalizerAdoptedSecret) {
				t.Fatalf("finalizers = %v", c.Finalizers)
			}
			w.deleted(c)
			w.wantReleased("orders")
		})
	}
}

// No write to an adopted Secret comes before the finalizer: not even of labels.
func TestNoWriteBeforeTheFinalizer(t *testing.T) {
	w := newWorld(t)
	c := w.adopting()
	w.edit(c, func(c *v1alpha1.StsCredential) {
		c.Finalizers = nil
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "other"}
	})
	var order []string
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*corev1.Secret); ok {
				order = append(order, "Secret")
			} else {
				order = append(order, "finalizer")
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	w.pass(c)
	if !slices.Equal(order, []string{"finalizer", "Secret"}) {
		t.Errorf("written were %v", order)
	}
}

// Finalizers of others stay, also where the cache does not show them.
func TestOthersFinalizersStay(t *testing.T) {
	w := newWorld(t)
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			err := cl.Get(ctx, key, o, opts...)
			if c, ok := o.(*v1alpha1.StsCredential); ok && err == nil {
				c.Finalizers = slices.DeleteFunc(c.Finalizers, func(f string) bool { return f != v1alpha1.FinalizerAdoptedSecret })
			}
			return err
		},
	})
	w.somebodys("orders", "orders")
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{othersFinalizer} })
	w.pass(c)
	if want := []string{othersFinalizer, v1alpha1.FinalizerAdoptedSecret}; !slices.Equal(c.Finalizers, want) {
		t.Fatalf("finalizers = %v, want %v", c.Finalizers, want)
	}
	w.must(api.Delete(w.ctx, c))
	w.pass(c)
	w.wantReleased("orders")
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	if want := []string{othersFinalizer}; !slices.Equal(c.Finalizers, want) {
		t.Errorf("after the release, finalizers = %v, want %v", c.Finalizers, want)
	}
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// What was edited in an adopted Secret is not taken out of it: it may be its owner's. An event says that it stays.
func TestEditedAdoptedSecretIsNotStripped(t *testing.T) {
	w := newWorld(t)
	c := w.adopting()
	w.step(time.Minute)
	w.editSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/managed-keys"] += ",password" })
	w.told()
	w.deleted(c)
	if s := w.secret("orders"); string(s.Data["password"]) != "theirs" {
		t.Errorf("left of the adopted Secret: %v", s.Data)
	}
	if told := w.told(); len(told) != 1 {
		t.Errorf("told %q", told)
	}
}
