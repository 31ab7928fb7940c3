// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// beforePatch does something once, just before the first patch of a Secret; an error keeps the patch from being sent.
func (w *world) beforePatch(do func() error) {
	once := false
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if !once {
				once = true
				if err := do(); err != nil {
					return err
				}
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
}

func relabel(c *v1alpha1.StsCredential) {
	c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
}

// Whatever happens to a Secret between the look and an adjustment of its labels, it never becomes an empty one, nothing
// is told that is not so, and it comes right a little later.
func TestSettleRaces(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(w *world, c *v1alpha1.StsCredential)
		race  func(w *world) error
		calls int
	}{
		{"deleted", func(w *world, c *v1alpha1.StsCredential) { w.edit(c, relabel) },
			func(w *world) error { return api.Delete(w.ctx, w.secret("orders")) }, 2},
		{"its record stripped", func(w *world, c *v1alpha1.StsCredential) { w.edit(c, relabel) },
			func(w *world) error {
				w.editSecret("orders", func(s *corev1.Secret) { s.Annotations = nil })
				return nil
			}, 2},
		{"put right by somebody else", func(w *world, _ *v1alpha1.StsCredential) {
			w.editSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		}, func(w *world) error {
			w.editSecret("orders", func(s *corev1.Secret) { s.Labels["app.kubernetes.io/managed-by"] = "sts-credential-operator" })
			return nil
		}, 1},
		{"the API server does not answer", func(w *world, c *v1alpha1.StsCredential) { w.edit(c, relabel) },
			func(*world) error { return apierrors.NewTimeoutError("x", 1) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			tt.given(w, c)
			w.catchUp(c)
			w.beforePatch(func() error { return tt.race(w) })
			next := w.pass(c).RequeueAfter
			if s := w.secret("orders"); s != nil && len(s.Data) != 3 {
				t.Fatalf("the Secret has %d keys", len(s.Data))
			}
			if next > time.Minute {
				t.Errorf("next look in %v", next)
			}
			w.step(next)
			w.pass(c)
			w.pass(c)
			w.wantCalls(tt.calls)
			w.wantWorking("orders")
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if s := w.secret("orders"); s.Labels[secret.UIDLabel] == "" || s.Labels["team"] != string(c.Spec.Secret.Labels["team"]) {
				t.Errorf("labels = %v", s.Labels)
			}
		})
	}
}

// Where other calls of the account occupy it for long, the status does not go on saying what is over.
func TestOccupiedBudgetIsTold(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.Budget = stsBudget(w, 20, 20)
	w.Budget.LimitInFlight(1)
	if wait := w.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}}); wait != 0 {
		t.Fatal(wait)
	}
	fresh := w.credential("fresh")
	w.pass(fresh)
	w.wantCondition(fresh, v1alpha1.ConditionReady, "", "", "")
	w.step(50 * time.Minute)
	for w.stsClock.Now().Before(c.Status.ExpiresAt.Time) {
		w.step(max(w.pass(c).RequeueAfter, 10*time.Second))
	}
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired, "")
	w.pass(fresh)
	w.wantCondition(fresh, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	w.Budget.Release(account)
	w.step(time.Second)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// Repairs are paced though their status cannot be written.
func TestRepairsArePacedWithoutStatus(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.edit(c, relabel)
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
			return apierrors.NewTimeoutError("x", 1)
		},
	})
	look := func() {
		w.catchUp(c)
		_, _ = w.Reconcile(w.ctx, requestFor(c))
	}
	look()
	for range 20 {
		if s := w.secret("orders"); s != nil {
			w.must(api.Delete(w.ctx, s))
		}
		look()
		w.step(time.Second)
	}
	if calls := w.calls(); calls > 3 {
		t.Errorf("%d calls", calls)
	}
}

// A machine that slept has timers that are late, though its clock is right: everybody is woken.
func TestSleepIsNoticed(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	leading := make(chan struct{})
	close(leading)
	w.wake = make(chan wakeUp, 10)
	followers := make(chan *v1alpha1.StsCredential, 10)
	w.OnClockChange = func(_ context.Context, c *v1alpha1.StsCredential) { followers <- c }
	first := true
	watch := &clockWatch{Reconciler: w.Reconciler, leading: leading, jump: func(time.Time, time.Time) time.Duration {
		defer func() { first = false }()
		if first {
			return 50 * time.Minute
		}
		return 0
	}}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- watch.Start(ctx) }()
	w.eventually("the credential is woken", func(context.Context) bool {
		w.step(clockInterval)
		return len(w.wake) > 0 && len(followers) > 0
	})
	cancel()
	w.must(<-ended)
}
