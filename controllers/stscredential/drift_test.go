// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// However another client keeps changing a Secret, and whatever reason for a renewal that looks like, it does not make the
// operator mint without end.
func TestMeddlingIsPaced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(env *environment, old, s *corev1.Secret)
	}{
		{"a token is edited", func(_ *environment, _, s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }},
		{"another layout", func(_ *environment, _, s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/layout-hash") }},
		{"another request", func(_ *environment, _, s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/request-hash"] = "v1:x" }},
		{"the answered renew request is removed", func(_ *environment, _, s *corev1.Secret) {
			delete(s.Annotations, "sts.alibabacloud.com/handled-renew-request")
		}},
		{"an earlier expiry", func(env *environment, _, s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/expires-at"] = env.STSClock.Now().UTC().Add(time.Second).Format(time.RFC3339)
		}},
		{"an older copy, whole and due, is put back", func(_ *environment, old, s *corev1.Secret) {
			s.Data, s.Annotations = old.Data, maps.Clone(old.Annotations)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, "a")
			})
			env.reconcile(c)
			old := env.Secret("orders")
			env.Step(45 * time.Minute)
			env.reconcile(c)
			env.WantCalls(2)
			for range 20 {
				env.EditSecret("orders", func(s *corev1.Secret) { tt.change(env, old, s) })
				env.reconcile(c)
				env.Step(100 * time.Millisecond)
			}
			env.WantCalls(3) // the first repair comes at once
		})
	}
}

// A change of the spec is not a repair: the first one after it comes at once.
func TestSpecChangeIsNoRepair(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Edit(c, func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
	})
	env.reconcile(c)
	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.reconcile(c)
	env.wantWorking("orders")
}

// Somebody who keeps taking our labels away does not make a renewal late.
func TestLabelWar(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.RenewBefore = &metav1.Duration{Duration: 2 * time.Minute}
	})
	env.reconcile(c)
	for range 30 {
		if s := env.Secret("orders"); s.Labels["app.kubernetes.io/managed-by"] != "" {
			env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		}
		env.Step(env.reconcile(c).RequeueAfter)
		if !env.STSClock.Now().Before(c.Status.ExpiresAt.Time) {
			t.Fatalf("expired at %v", c.Status.ExpiresAt)
		}
	}
	if env.Calls() < 2 {
		t.Error("not renewed")
	}
}

// Labels and owner are kept in order while renewals fail: without its label a Secret's deletion goes unnoticed.
func TestMetadataIsKeptWhileRenewalFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(env *environment)
	}{
		{"refused", func(env *environment) {
			env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "NoPermission"})
		}},
		{"not granted", func(env *environment) { env.Revoke() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			tt.fail(env)
			env.Step(45 * time.Minute)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, c.Status.Conditions[1].Reason, "")
			env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Labels, secret.UIDLabel) })
			env.Edit(c, func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
			})
			env.reconcile(c)
			if s := env.Secret("orders"); s.Labels["team"] != "shop" || s.Labels[secret.UIDLabel] == "" {
				t.Errorf("labels = %v", s.Labels)
			}
		})
	}
}

// A process that was stopped while STS answered does not put its older credentials over the one that its successor wrote, be it
// older by so little that their times are the same.
func TestOlderTripleDoesNotReplaceNewer(t *testing.T) {
	for name, later := range map[string]time.Duration{"a minute": time.Minute, "less than a second": 0} {
		t.Run(name, func(t *testing.T) { olderDoesNotReplace(t, later) })
	}
}

func olderDoesNotReplace(t *testing.T, later time.Duration) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Step(45 * time.Minute)
	stopped := env.Reconciler
	env.restartOperator()
	successor := env.Reconciler
	env.Reconciler = stopped
	env.WaitForCache(c)
	newer := ""
	stopped.Client = testenv.Intercept(cached, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if newer == "" {
				env.Step(later)
				_, err := successor.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
				env.Must(err)
				newer = string(env.Secret("orders").Data[secret.KeyAccessKeyID])
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	env.reconcileStale(c)
	env.WantCalls(3)
	if got := env.wantWorking("orders"); got != newer {
		t.Errorf("the Secret holds %s, want the newer %s", got, newer)
	}
}

// Of two objects that name one Secret the first keeps it.
func TestTwoObjectsOneSecret(t *testing.T) {
	env := newEnvironment(t)
	same := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first, second := env.CreateCredential("first", same), env.CreateCredential("second", same)
	env.reconcile(first)
	env.reconcile(second)
	env.WantCalls(1)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "shared")
	env.reconcile(first)
	env.WantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if id := env.wantWorking("shared"); id != first.Status.AccessKeyID {
		t.Errorf("the Secret holds %s, the first object names %s", id, first.Status.AccessKeyID)
	}
}

// Requests to the API server: the Secret and the status for a first issuance and for a renewal; none after a restart, nor when
// there is nothing to do.
func TestRequestsPerPass(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	var reads, writes int
	count := func() {
		env.APIReader = interceptor.NewClient(api, interceptor.Funcs{
			Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				reads++
				return cl.Get(ctx, key, o, opts...)
			},
		})
		env.Client = testenv.Intercept(cached, interceptor.Funcs{
			Create: func(ctx context.Context, cl client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				writes++
				return cl.Create(ctx, o, opts...)
			},
			Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				writes++
				return cl.Patch(ctx, o, p, opts...)
			},
			SubResourceUpdate: func(ctx context.Context, cl client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				writes++
				return cl.SubResource(sub).Update(ctx, o, opts...)
			},
		})
	}
	want := func(what string, wantReads, wantWrites int) {
		t.Helper()
		env.reconcile(c)
		env.reconcile(c)
		if got := writes + len(env.RecordedEvents()); reads != wantReads || got != wantWrites {
			t.Errorf("%s: %d reads, %d writes; want %d, %d", what, reads, got, wantReads, wantWrites)
		}
		reads, writes = 0, 0
	}
	count()
	want("first issuance", 0, 2)
	env.Step(45 * time.Minute)
	want("renewal", 0, 2)
	env.restartOperator()
	count()
	want("restart", 0, 0)
}

// foreignSecret is a Secret that the operator does not know of.
func foreignSecret(env *environment, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}}
}

// A first issuance that waits for its turn to call STS reads nothing uncached. Its create meets a Secret that was made
// meanwhile, and only then the Secret is read.
func TestWaitingForATurnReadsNothing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		meanwhile func(*environment)
		reads     int
		reason    string
	}{
		{"nothing happens", func(*environment) {}, 0, v1alpha1.ReasonIssued},
		{"another client creates the Secret", func(env *environment) { env.Must(api.Create(env.Context(), foreignSecret(env, "late"))) }, 1, v1alpha1.ReasonSecretConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			env.Budget = stsBudget(env, 0.1, 1)
			reads := 0
			env.APIReader = interceptor.NewClient(api, interceptor.Funcs{
				Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if key.Name == "late" {
						reads++
					}
					return cl.Get(ctx, key, o, opts...)
				},
			})
			env.reconcile(env.CreateCredential("first"))
			late := env.CreateCredential("late")
			for range 3 {
				env.reconcile(late)
				env.Step(time.Second)
			}
			env.WantCalls(1)
			tt.meanwhile(env)
			env.Step(time.Minute)
			env.reconcile(late)
			env.WantCalls(2)
			if reads != tt.reads {
				t.Errorf("%d live reads, want %d", reads, tt.reads)
			}
			status := metav1.ConditionTrue
			if tt.reason != v1alpha1.ReasonIssued {
				status = metav1.ConditionFalse
			}
			env.WantCondition(late, v1alpha1.ConditionReady, status, tt.reason, "")
			if tt.reason == v1alpha1.ReasonSecretConflict && len(env.Secret("late").Data) != 0 {
				t.Error("the Secret of another owner was written to")
			}
			reads = 0
			env.Must(client.IgnoreNotFound(api.Delete(env.Context(), foreignSecret(env, "late"))))
			env.Step(time.Hour)
			env.reconcile(late)
			if reads != 1 {
				t.Errorf("%d live reads before the next call, want 1", reads)
			}
		})
	}
}
