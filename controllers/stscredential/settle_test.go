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
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// beforePatch does something once, just before the first patch of a Secret; an error keeps the patch from being sent.
func (env *environment) beforePatch(do func() error) {
	once := false
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
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

func withLabel(c *v1alpha1.StsCredential) {
	c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
}

// Whatever happens to a Secret between the read and the sync of its labels, it never becomes an empty one, nothing
// wrong is reported, and it comes right a little later.
func TestSettleRaces(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(env *environment, c *v1alpha1.StsCredential)
		race  func(env *environment) error
		calls int
	}{
		{"deleted", func(env *environment, c *v1alpha1.StsCredential) { env.Edit(c, withLabel) },
			func(env *environment) error { return api.Delete(env.Context(), env.Secret("orders")) }, 2},
		{"its record stripped", func(env *environment, c *v1alpha1.StsCredential) { env.Edit(c, withLabel) },
			func(env *environment) error {
				env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations = nil })
				return nil
			}, 2},
		{"corrected by another client", func(env *environment, _ *v1alpha1.StsCredential) {
			env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		}, func(env *environment) error {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Labels["app.kubernetes.io/managed-by"] = "sts-credential-operator" })
			return nil
		}, 1},
		{"the API server does not answer", func(env *environment, c *v1alpha1.StsCredential) { env.Edit(c, withLabel) },
			func(*environment) error { return apierrors.NewTimeoutError("x", 1) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			tt.given(env, c)
			env.WaitForCache(c)
			env.beforePatch(func() error { return tt.race(env) })
			next := env.reconcile(c).RequeueAfter
			if s := env.Secret("orders"); s != nil && len(s.Data) != 3 {
				t.Fatalf("the Secret has %d keys", len(s.Data))
			}
			if next > time.Minute {
				t.Errorf("requeue after %v", next)
			}
			env.Step(next)
			env.reconcile(c)
			env.reconcile(c)
			env.WantCalls(tt.calls)
			env.wantWorking("orders")
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if s := env.Secret("orders"); s.Labels[secret.UIDLabel] == "" || s.Labels["team"] != string(c.Spec.Secret.Labels["team"]) {
				t.Errorf("labels = %v", s.Labels)
			}
		})
	}
}

// Where other calls of the account occupy it for long, the status does not go on saying what is over.
func TestOccupiedBudgetIsTold(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Budget = stsBudget(env, 20, 20)
	env.Budget.LimitInFlight(1)
	if wait := env.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}}); wait != 0 {
		t.Fatal(wait)
	}
	fresh := env.CreateCredential("fresh")
	env.reconcile(fresh)
	env.WantCondition(fresh, v1alpha1.ConditionReady, "", "", "")
	env.Step(50 * time.Minute)
	for env.STSClock.Now().Before(c.Status.ExpiresAt.Time) {
		env.Step(max(env.reconcile(c).RequeueAfter, 10*time.Second))
	}
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonExpired, "")
	env.reconcile(fresh)
	env.WantCondition(fresh, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	env.Budget.Release(account)
	env.Step(time.Second)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// A renewal that comes due while the metadata are written is made at once, not when the credentials expire.
func TestRenewalComesDueDuringReconcile(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	untilRenewal := env.reconcile(c).RequeueAfter
	env.Edit(c, withLabel)
	env.WaitForCache(c)
	env.Step(untilRenewal - time.Second)
	env.beforePatch(func() error {
		env.Step(2 * time.Second)
		return nil
	})
	if next := env.reconcile(c).RequeueAfter; next <= 0 || next > time.Second {
		t.Errorf("the next reconcile is due in %s", next)
	}
	env.WantCalls(1)
	env.reconcile(c)
	env.WantCalls(2)
}

// Repairs are paced though their status cannot be written.
func TestRepairsArePacedWithoutStatus(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Edit(c, withLabel)
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
			return apierrors.NewTimeoutError("x", 1)
		},
	})
	reconcile := func() {
		env.WaitForCache(c)
		_, _ = env.Reconcile(env.Context(), requestFor(c))
	}
	reconcile()
	for range 20 {
		if s := env.Secret("orders"); s != nil {
			env.Must(api.Delete(env.Context(), s))
		}
		reconcile()
		env.Step(time.Second)
	}
	if calls := env.Calls(); calls > 3 {
		t.Errorf("%d calls", calls)
	}
}

// A machine that slept has timers that are late, though its clock is right: all are enqueued.
func TestSleepIsNoticed(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	leading := make(chan struct{})
	close(leading)
	woken := make(chan wakeUp, 10)
	followers := make(chan *v1alpha1.StsCredential, 10)
	env.OnClockChange = func(_ context.Context, c *v1alpha1.StsCredential) { followers <- c }
	first := true
	watch := env.clockMonitor(leading, woken, func(time.Time, time.Time) time.Duration {
		defer func() { first = false }()
		if first {
			return 50 * time.Minute
		}
		return 0
	})
	ctx, cancel := context.WithCancel(env.Context())
	ended := make(chan error, 1)
	go func() { ended <- watch.Start(ctx) }()
	env.Eventually("the credential is enqueued", func(context.Context) bool {
		env.Step(clockInterval)
		return len(woken) > 0 && len(followers) > 0
	})
	cancel()
	env.Must(<-ended)
}

// clockMonitor is the operator's, which wakes credentials through a channel of the test's.
func (env *environment) clockMonitor(leading chan struct{}, woken chan wakeUp, jump func(before, after time.Time) time.Duration) *clockMonitor {
	return &clockMonitor{
		Reader: env.Client, sts: env.STS, operator: env.Operator, budget: env.Budget, clock: env.Clock,
		elected: leading, woken: woken, onChange: env.OnClockChange, jump: jump,
	}
}
