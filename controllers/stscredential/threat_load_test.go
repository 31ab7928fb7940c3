// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// Whatever a user does again and again, the account's budget bounds the calls, and the others' turn comes.
func TestThreatSpam(t *testing.T) {
	const spams, burst = 12, 3
	for _, tt := range []struct {
		name string
		spam func(w *world, user client.Client, c *v1alpha1.StsCredential, i int)
		want int // calls at most, while time stands still
	}{
		{"requests for renewal", func(w *world, user client.Client, c *v1alpha1.StsCredential, i int) {
			w.must(user.Patch(w.ctx, c, merge(fmt.Sprintf(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"%d"}}}`, i))))
		}, burst},
		{"changes of the spec", func(w *world, user client.Client, c *v1alpha1.StsCredential, i int) {
			w.must(user.Patch(w.ctx, c, merge(fmt.Sprintf(`{"spec":{"externalID":"id-%d"}}`, i))))
		}, burst},
		{"objects made anew", func(w *world, user client.Client, c *v1alpha1.StsCredential, i int) {
			w.must(user.Delete(w.ctx, c))
			w.pass(c.DeepCopy())
			*c = *w.asks(fmt.Sprint("orders-", i))
			w.must(user.Create(w.ctx, c))
		}, burst},
		{"the Secret deleted", func(w *world, user client.Client, c *v1alpha1.StsCredential, _ int) {
			w.must(client.IgnoreNotFound(user.Delete(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: c.SecretName()}})))
		}, 2},
		{"the Secret edited", func(w *world, user client.Client, c *v1alpha1.StsCredential, i int) {
			w.must(user.Patch(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: c.SecretName()}},
				merge(fmt.Sprintf(`{"stringData":{%q:"%d"}}`, secret.KeySecurityToken, i))))
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.Budget = stsBudget(w, 2, burst)
			user := w.user("edit")
			c := w.asks("orders")
			w.must(user.Create(w.ctx, c))
			w.pass(c)
			for i := range spams {
				tt.spam(w, user, c, i)
				w.pass(c)
			}
			if got := w.calls(); got > tt.want {
				t.Errorf("%d calls, want at most %d", got, tt.want)
			}
			victim := w.credential("victim")
			for range 3 {
				if next := w.pass(victim).RequeueAfter; w.secret("victim") == nil {
					if next > spams*time.Second/2 {
						t.Errorf("somebody else has to wait %v", next)
					}
					w.step(next)
				}
			}
			w.wantWorking("victim")
		})
	}
}

// Nor are there calls without a bound that ask whose an AccessKey is.
func TestThreatSpamWithAnUnknownKey(t *testing.T) {
	w := newWorld(t)
	w.Budget = stsBudget(w, 2, 3)
	user := w.user("edit")
	w.must(user.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ram-user"},
		StringData: map[string]string{"accessKeyId": "LTAI0000000000000000", "accessKeySecret": strings.Repeat("x", 30)}}))
	c := w.asks("orders", withAccessKey("ram-user"))
	w.must(user.Create(w.ctx, c))
	before := len(w.emulator.Calls())
	for i := range 20 {
		w.must(user.Patch(w.ctx, c, merge(fmt.Sprintf(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"%d"}}}`, i))))
		w.pass(c)
	}
	if got := len(w.emulator.Calls()) - before; got > 6 {
		t.Errorf("%d calls while time stood still", got)
	}
}

// Labelled Secrets of users come into the operator's cache. Their data stays out.
func TestThreatCachePollution(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	big := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "big", Labels: map[string]string{secret.UIDLabel: "x"}},
		Data: map[string][]byte{"x": []byte(strings.Repeat("a", 1<<19))}}
	w.must(user.Create(w.ctx, big))
	seen := &corev1.Secret{}
	w.eventually("the cache has it", func(ctx context.Context) bool { return cached.Get(ctx, client.ObjectKeyFromObject(big), seen) == nil })
	if size := seen.Size(); size > 1024 {
		t.Errorf("the cache holds %d bytes of it", size)
	}
}

func TestThreatCachePollutionByAnnotations(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	big := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "big", Labels: map[string]string{secret.UIDLabel: "x"},
		Annotations: map[string]string{"x": strings.Repeat("a", 250<<10)}}}
	w.must(user.Create(w.ctx, big))
	seen := &corev1.Secret{}
	w.eventually("the cache has it", func(ctx context.Context) bool { return cached.Get(ctx, client.ObjectKeyFromObject(big), seen) == nil })
	if size := seen.Size(); size > 4096 {
		t.Errorf("the cache holds %d bytes of it", size)
	}
}

// An object that is going gets nothing, however long a finalizer holds it.
func TestThreatFinalizers(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	held := w.asks("held", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	w.must(user.Create(w.ctx, held))
	w.must(user.Delete(w.ctx, held))
	w.pass(held)
	w.wantCalls(0)
	w.must(user.Patch(w.ctx, held, merge(`{"metadata":{"finalizers":null}}`)))

	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	w.pass(c)
	s := w.secret("orders")
	w.must(user.Patch(w.ctx, s, merge(`{"metadata":{"finalizers":["example.com/hold"]}}`)))
	w.must(user.Delete(w.ctx, s))
	for range 5 {
		w.pass(c)
	}
	w.wantCalls(1)
	w.wantWorking("orders")
	w.must(user.Patch(w.ctx, s, merge(`{"metadata":{"finalizers":null}}`)))
}
