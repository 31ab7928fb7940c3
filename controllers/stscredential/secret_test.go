// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

func TestForeignSecretIsLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(w *world, s *corev1.Secret)
		calls int // before the conflict is known; what they issue is kept
	}{
		{"somebody's", func(*world, *corev1.Secret) {}, 1},
		{"carrying our label without a record of ours", func(_ *world, s *corev1.Secret) { s.Labels = map[string]string{secret.UIDLabel: "x"} }, 0},
		{"another StsCredential's", func(w *world, s *corev1.Secret) {
			other := w.credential("other", func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
			s.Labels = map[string]string{secret.UIDLabel: string(other.UID)}
			s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(other, v1alpha1.GroupVersion.WithKind("StsCredential"))}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}, Data: map[string][]byte{"password": []byte("x")}}
			tt.given(w, foreign)
			w.must(api.Create(w.ctx, foreign))
			c := w.credential("orders")
			next := w.pass(c)
			w.wantCalls(tt.calls)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "choose another spec.secret.name")
			w.wantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretConflict, "")
			if next.RequeueAfter != 5*time.Minute {
				t.Errorf("next look in %v, want a few minutes", next.RequeueAfter)
			}
			if got := w.secret("orders"); got.ResourceVersion != foreign.ResourceVersion {
				t.Error("the foreign Secret was written to")
			}

			w.must(api.Delete(w.ctx, foreign))
			w.pass(c)
			w.wantCalls(1)
			w.wantWorking("orders")
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		})
	}
}

func TestSecretIsRestored(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(w *world)
		calls  int
	}{
		{"deleted", func(w *world) { w.must(api.Delete(w.ctx, w.secret("orders"))) }, 2},
		{"edited token", func(w *world) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") })
		}, 2},
		{"later expiry in the record", func(w *world) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2099-01-01T00:00:00Z" })
		}, 2},
		{"record removed", func(w *world) { w.editSecret("orders", func(s *corev1.Secret) { s.Annotations = nil }) }, 2},
		{"label removed", func(w *world) {
			w.editSecret("orders", func(s *corev1.Secret) { delete(s.Labels, secret.UIDLabel) })
		}, 1},
		{"all labels removed", func(w *world) { w.editSecret("orders", func(s *corev1.Secret) { s.Labels = nil }) }, 1},
		{"owner removed", func(w *world) { w.editSecret("orders", func(s *corev1.Secret) { s.OwnerReferences = nil }) }, 1},
		{"keys of others added", func(w *world) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Data["other"], s.Labels["other"] = []byte("x"), "x" })
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			tt.damage(w)
			w.pass(c)
			w.pass(c)
			w.wantCalls(tt.calls)
			if id := w.wantWorking("orders"); id != c.Status.AccessKeyID {
				t.Errorf("status tells of %s, the Secret holds %s", c.Status.AccessKeyID, id)
			}
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			s := w.secret("orders")
			if s.Labels[secret.UIDLabel] != string(c.UID) || s.Labels["app.kubernetes.io/managed-by"] == "" || !metav1.IsControlledBy(s, c) {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
		})
	}
}

// Somebody who keeps deleting a Secret does not make the operator mint without end; whatever else is due is not held back.
func TestRepairsArePaced(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	var waits []time.Duration
	for range 7 {
		w.must(api.Delete(w.ctx, w.secret("orders")))
		var waited time.Duration
		for w.secret("orders") == nil {
			next := w.pass(c).RequeueAfter
			if w.secret("orders") != nil {
				break
			}
			waited += next
			w.step(next)
		}
		waits = append(waits, waited)
	}
	want := []time.Duration{0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute}
	if !reflect.DeepEqual(waits, want) {
		t.Errorf("repairs waited %v, want %v", waits, want)
	}

	w.must(api.Delete(w.ctx, w.secret("orders")))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	calls := w.calls()
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
	w.pass(c)
	w.wantCalls(calls + 1)

	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour} })
	w.pass(c)
	w.step(time.Hour)
	w.must(api.Delete(w.ctx, w.secret("orders")))
	w.pass(c)
	if w.secret("orders") == nil {
		t.Error("after an hour in peace the first repair did not come at once")
	}
}

func TestRecreatedObjectTakesItsSecretOver(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.must(api.Delete(w.ctx, c, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	w.eventually("the object is gone", func(ctx context.Context) bool {
		return api.Get(ctx, client.ObjectKeyFromObject(c), &v1alpha1.StsCredential{}) != nil
	})
	again := w.credential("orders")
	w.pass(again)
	w.wantCalls(1)
	w.wantCondition(again, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if s := w.secret("orders"); !metav1.IsControlledBy(s, again) || s.Labels[secret.UIDLabel] != string(again.UID) {
		t.Errorf("owners %v, labels %v are not the new object's", s.OwnerReferences, s.Labels)
	}
}

func TestDeletion(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.must(api.Delete(w.ctx, c))
	w.eventually("the Secret is garbage collected", func(context.Context) bool { return w.secret("orders") == nil })
	w.pass(c)
	w.wantCalls(1)

	held := w.credential("held", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	w.must(api.Delete(w.ctx, held))
	w.pass(held)
	w.wantCalls(1)
	w.edit(held, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// eventually polls for what other processes do.
func (w *world) eventually(what string, done func(context.Context) bool) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.ctx, 10*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		return done(ctx), nil
	})
	if err != nil {
		w.Fatalf("waited in vain: %s", what)
	}
}
