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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

func TestForeignSecretIsLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(env *environment, s *corev1.Secret)
		calls int // before the conflict is known; what they issue is kept
	}{
		{"somebody's", func(*environment, *corev1.Secret) {}, 1},
		{"carrying the label without a record", func(_ *environment, s *corev1.Secret) { s.Labels = map[string]string{secret.UIDLabel: "x"} }, 0},
		{"another StsCredential's", func(env *environment, s *corev1.Secret) {
			other := env.CreateCredential("other", func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
			s.Labels = map[string]string{secret.UIDLabel: string(other.UID)}
			s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(other, v1alpha1.GroupVersion.WithKind("StsCredential"))}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}, Data: map[string][]byte{"password": []byte("x")}}
			tt.given(env, foreign)
			env.Must(api.Create(env.Context(), foreign))
			c := env.CreateCredential("orders")
			next := env.reconcile(c)
			env.WantCalls(tt.calls)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "Choose another spec.secret.name")
			env.WantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretConflict, "")
			if next.RequeueAfter != 5*time.Minute {
				t.Errorf("requeue after %v, want a few minutes", next.RequeueAfter)
			}
			if got := env.Secret("orders"); got.ResourceVersion != foreign.ResourceVersion {
				t.Error("the foreign Secret was written to")
			}

			env.Must(api.Delete(env.Context(), foreign))
			env.reconcile(c)
			env.WantCalls(1)
			env.wantWorking("orders")
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		})
	}
}

func TestSecretIsRestored(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(env *environment)
		calls  int
	}{
		{"deleted", func(env *environment) { env.Must(api.Delete(env.Context(), env.Secret("orders"))) }, 2},
		{"edited token", func(env *environment) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") })
		}, 2},
		{"later expiry in the record", func(env *environment) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2099-01-01T00:00:00Z" })
		}, 2},
		{"record removed", func(env *environment) { env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations = nil }) }, 2},
		{"label removed", func(env *environment) {
			env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Labels, secret.UIDLabel) })
		}, 1},
		{"all labels removed", func(env *environment) { env.EditSecret("orders", func(s *corev1.Secret) { s.Labels = nil }) }, 1},
		{"owner removed", func(env *environment) { env.EditSecret("orders", func(s *corev1.Secret) { s.OwnerReferences = nil }) }, 1},
		{"keys of others added", func(env *environment) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Data["other"], s.Labels["other"] = []byte("x"), "x" })
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			tt.damage(env)
			env.reconcile(c)
			env.reconcile(c)
			env.WantCalls(tt.calls)
			if id := env.wantWorking("orders"); id != c.Status.AccessKeyID {
				t.Errorf("the status names %s, the Secret holds %s", c.Status.AccessKeyID, id)
			}
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			s := env.Secret("orders")
			if s.Labels[secret.UIDLabel] != string(c.UID) || s.Labels["app.kubernetes.io/managed-by"] == "" || !metav1.IsControlledBy(s, c) {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
		})
	}
}

// Somebody who keeps deleting a Secret does not make the operator mint without end; whatever else is due is not held back.
func TestRepairsArePaced(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	var waits []time.Duration
	for range 7 {
		env.Must(api.Delete(env.Context(), env.Secret("orders")))
		var waited time.Duration
		for env.Secret("orders") == nil {
			next := env.reconcile(c).RequeueAfter
			if env.Secret("orders") != nil {
				break
			}
			waited += next
			env.Step(next)
		}
		waits = append(waits, waited)
	}
	want := []time.Duration{0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute}
	if !reflect.DeepEqual(waits, want) {
		t.Errorf("repairs waited %v, want %v", waits, want)
	}

	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	calls := env.Calls()
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
	env.reconcile(c)
	env.WantCalls(calls + 1)

	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour} })
	env.reconcile(c)
	env.Step(time.Hour)
	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.reconcile(c)
	if env.Secret("orders") == nil {
		t.Error("after an hour in peace the first repair did not come at once")
	}
}

func TestRecreatedObjectTakesItsSecretOver(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Must(api.Delete(env.Context(), c, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	env.Eventually("the object is gone", func(ctx context.Context) bool {
		return api.Get(ctx, client.ObjectKeyFromObject(c), &v1alpha1.StsCredential{}) != nil
	})
	again := env.CreateCredential("orders")
	env.reconcile(again)
	env.WantCalls(1)
	env.WantCondition(again, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if s := env.Secret("orders"); !metav1.IsControlledBy(s, again) || s.Labels[secret.UIDLabel] != string(again.UID) {
		t.Errorf("owners %v, labels %v are not the new object's", s.OwnerReferences, s.Labels)
	}
}

func TestDeletion(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Must(api.Delete(env.Context(), c))
	env.Eventually("the Secret is garbage collected", func(context.Context) bool { return env.Secret("orders") == nil })
	env.reconcile(c)
	env.WantCalls(1)

	held := env.CreateCredential("held", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	env.Must(api.Delete(env.Context(), held))
	env.reconcile(held)
	env.WantCalls(1)
	env.Edit(held, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}
