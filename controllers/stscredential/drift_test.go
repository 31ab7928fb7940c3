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
)

// However somebody keeps meddling with a Secret, and whatever reason for a renewal that looks like, it does not make the
// operator mint without end.
func TestMeddlingIsPaced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meddle func(w *world, old, s *corev1.Secret)
	}{
		{"a token is edited", func(_ *world, _, s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") }},
		{"another layout", func(_ *world, _, s *corev1.Secret) { delete(s.Annotations, "sts.alibabacloud.com/layout-hash") }},
		{"another request", func(_ *world, _, s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/request-hash"] = "v1:x" }},
		{"the answered wish is taken away", func(_ *world, _, s *corev1.Secret) {
			delete(s.Annotations, "sts.alibabacloud.com/handled-renew-request")
		}},
		{"an earlier expiry", func(w *world, _, s *corev1.Secret) {
			s.Annotations["sts.alibabacloud.com/expires-at"] = w.stsClock.Now().UTC().Add(time.Second).Format(time.RFC3339)
		}},
		{"an older copy, whole and due, is put back", func(_ *world, old, s *corev1.Secret) { s.Data, s.Annotations = old.Data, maps.Clone(old.Annotations) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders", func(c *v1alpha1.StsCredential) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, "a")
			})
			w.pass(c)
			old := w.secret("orders")
			w.step(45 * time.Minute)
			w.pass(c)
			w.wantCalls(2)
			for range 20 {
				w.editSecret("orders", func(s *corev1.Secret) { tt.meddle(w, old, s) })
				w.pass(c)
				w.step(100 * time.Millisecond)
			}
			w.wantCalls(3) // the first repair comes at once
		})
	}
}

// A change of the spec is not a repair: the first one after it comes at once.
func TestSpecChangeIsNoRepair(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.edit(c, func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
	})
	w.pass(c)
	w.must(api.Delete(w.ctx, w.secret("orders")))
	w.pass(c)
	w.wantWorking("orders")
}

// Somebody who keeps taking our labels away does not make a renewal late.
func TestLabelWar(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.RenewBefore = &metav1.Duration{Duration: 2 * time.Minute}
	})
	w.pass(c)
	for range 30 {
		if s := w.secret("orders"); s.Labels["app.kubernetes.io/managed-by"] != "" {
			w.editSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		}
		w.step(w.pass(c).RequeueAfter)
		if !w.stsClock.Now().Before(c.Status.ExpiresAt.Time) {
			t.Fatalf("expired at %v", c.Status.ExpiresAt)
		}
	}
	if w.calls() < 2 {
		t.Error("not renewed")
	}
}

// Labels and owner are kept in order while renewals fail: without its label a Secret's deletion goes unnoticed.
func TestMetadataIsKeptWhileRenewalFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(w *world)
	}{
		{"refused", func(w *world) {
			w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "NoPermission"})
		}},
		{"not granted", func(w *world) { w.revoke() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			tt.fail(w)
			w.step(45 * time.Minute)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, c.Status.Conditions[1].Reason, "")
			w.editSecret("orders", func(s *corev1.Secret) { delete(s.Labels, secret.UIDLabel) })
			w.edit(c, func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
			})
			w.pass(c)
			if s := w.secret("orders"); s.Labels["team"] != "shop" || s.Labels[secret.UIDLabel] == "" {
				t.Errorf("labels = %v", s.Labels)
			}
		})
	}
}

// A process that was stopped while STS answered does not put its older triple over the one that its successor wrote, be it
// older by so little that their times are the same.
func TestOlderTripleDoesNotReplaceNewer(t *testing.T) {
	for name, later := range map[string]time.Duration{"a minute": time.Minute, "less than a second": 0} {
		t.Run(name, func(t *testing.T) { olderDoesNotReplace(t, later) })
	}
}

func olderDoesNotReplace(t *testing.T, later time.Duration) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.step(45 * time.Minute)
	stopped := w.Reconciler
	w.restart()
	successor := w.Reconciler
	w.Reconciler = stopped
	w.catchUp(c)
	newer := ""
	stopped.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if newer == "" {
				w.step(later)
				_, err := successor.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
				w.must(err)
				newer = string(w.secret("orders").Data[secret.KeyAccessKeyID])
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	w.passWithoutCatchingUp(c)
	w.wantCalls(3)
	if got := w.wantWorking("orders"); got != newer {
		t.Errorf("the Secret holds %s, want the newer %s", got, newer)
	}
}

// Of two objects that name one Secret the first keeps it.
func TestTwoObjectsOneSecret(t *testing.T) {
	w := newWorld(t)
	same := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first, second := w.credential("first", same), w.credential("second", same)
	w.pass(first)
	w.pass(second)
	w.wantCalls(1)
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "shared")
	w.pass(first)
	w.wantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if id := w.wantWorking("shared"); id != first.Status.AccessKeyID {
		t.Errorf("the Secret holds %s, the first object tells of %s", id, first.Status.AccessKeyID)
	}
}

// Requests to the API server: the Secret and the status for a first issuance and for a renewal; none after a restart, nor when
// there is nothing to do.
func TestRequestsPerPass(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	var reads, writes int
	count := func() {
		w.Live = interceptor.NewClient(api, interceptor.Funcs{
			Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				reads++
				return cl.Get(ctx, key, o, opts...)
			},
		})
		w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
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
		w.pass(c)
		w.pass(c)
		if got := writes + len(w.told()); reads != wantReads || got != wantWrites {
			t.Errorf("%s: %d reads, %d writes; want %d, %d", what, reads, got, wantReads, wantWrites)
		}
		reads, writes = 0, 0
	}
	count()
	want("first issuance", 0, 2)
	w.step(45 * time.Minute)
	want("renewal", 0, 2)
	w.restart()
	count()
	want("restart", 0, 0)
}

// foreign is a Secret that the operator does not know of.
func foreign(w *world, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

// A first issuance that waits for its turn to call STS reads nothing uncached. Its create meets a Secret that was made
// meanwhile, and only then the Secret is read.
func TestWaitingForATurnReadsNothing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		meanwhile func(*world)
		reads     int
		reason    string
	}{
		{"nothing happens", func(*world) {}, 0, v1alpha1.ReasonIssued},
		{"another client creates the Secret", func(w *world) { w.must(api.Create(w.ctx, foreign(w, "late"))) }, 1, v1alpha1.ReasonSecretConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.Budget = stsBudget(w, 0.1, 1)
			reads := 0
			w.Live = interceptor.NewClient(api, interceptor.Funcs{
				Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if key.Name == "late" {
						reads++
					}
					return cl.Get(ctx, key, o, opts...)
				},
			})
			w.pass(w.credential("first"))
			late := w.credential("late")
			for range 3 {
				w.pass(late)
				w.step(time.Second)
			}
			w.wantCalls(1)
			tt.meanwhile(w)
			w.step(time.Minute)
			w.pass(late)
			w.wantCalls(2)
			if reads != tt.reads {
				t.Errorf("%d live reads, want %d", reads, tt.reads)
			}
			status := metav1.ConditionTrue
			if tt.reason != v1alpha1.ReasonIssued {
				status = metav1.ConditionFalse
			}
			w.wantCondition(late, v1alpha1.ConditionReady, status, tt.reason, "")
			if tt.reason == v1alpha1.ReasonSecretConflict && len(w.secret("late").Data) != 0 {
				t.Error("somebody else's Secret was written to")
			}
			reads = 0
			w.must(client.IgnoreNotFound(api.Delete(w.ctx, foreign(w, "late"))))
			w.step(time.Hour)
			w.pass(late)
			if reads != 1 {
				t.Errorf("%d live reads before the next call, want 1", reads)
			}
		})
	}
}
