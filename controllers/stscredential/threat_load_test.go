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
		spam func(env *environment, user client.Client, c *v1alpha1.StsCredential, i int)
		want int // calls at most, while time stands still
	}{
		{"requests for renewal", func(env *environment, user client.Client, c *v1alpha1.StsCredential, i int) {
			env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"%d"}}}`, i))))
		}, burst},
		{"changes of the spec", func(env *environment, user client.Client, c *v1alpha1.StsCredential, i int) {
			env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"spec":{"externalID":"id-%d"}}`, i))))
		}, burst},
		{"objects made anew", func(env *environment, user client.Client, c *v1alpha1.StsCredential, i int) {
			env.Must(user.Delete(env.Context(), c))
			env.reconcile(c.DeepCopy())
			*c = *env.NewCredential(fmt.Sprint("orders-", i))
			env.Must(user.Create(env.Context(), c))
		}, burst},
		{"the Secret deleted", func(env *environment, user client.Client, c *v1alpha1.StsCredential, _ int) {
			env.Must(client.IgnoreNotFound(user.Delete(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: c.SecretName()}})))
		}, 2},
		{"the Secret edited", func(env *environment, user client.Client, c *v1alpha1.StsCredential, i int) {
			env.Must(user.Patch(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: c.SecretName()}},
				merge(fmt.Sprintf(`{"stringData":{%q:"%d"}}`, secret.KeySecurityToken, i))))
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			env.Budget = stsBudget(env, 2, burst)
			user := env.user("edit")
			c := env.NewCredential("orders")
			env.Must(user.Create(env.Context(), c))
			env.reconcile(c)
			for i := range spams {
				tt.spam(env, user, c, i)
				env.reconcile(c)
			}
			if got := env.Calls(); got > tt.want {
				t.Errorf("%d calls, want at most %d", got, tt.want)
			}
			victim := env.CreateCredential("victim")
			for range 3 {
				if next := env.reconcile(victim).RequeueAfter; env.Secret("victim") == nil {
					if next > spams*time.Second/2 {
						t.Errorf("somebody else has to wait %v", next)
					}
					env.Step(next)
				}
			}
			env.wantWorking("victim")
		})
	}
}

// Nor are there calls without a bound that ask whose an AccessKey is.
func TestThreatSpamWithAnUnknownKey(t *testing.T) {
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 2, 3)
	user := env.user("edit")
	env.Must(user.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "ram-user"},
		StringData: map[string]string{"accessKeyId": "LTAI0000000000000000", "accessKeySecret": strings.Repeat("x", 30)}}))
	c := env.NewCredential("orders", withAccessKey("ram-user"))
	env.Must(user.Create(env.Context(), c))
	before := len(env.Emulator.Calls())
	for i := range 20 {
		env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"%d"}}}`, i))))
		env.reconcile(c)
	}
	if got := len(env.Emulator.Calls()) - before; got > 6 {
		t.Errorf("%d calls while time stood still", got)
	}
}

// Labelled Secrets of users come into the operator's cache. Their data stays out.
func TestThreatCachePollution(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	big := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "big", Labels: map[string]string{secret.UIDLabel: "x"}},
		Data: map[string][]byte{"x": []byte(strings.Repeat("a", 1<<19))}}
	env.Must(user.Create(env.Context(), big))
	seen := &corev1.Secret{}
	env.Eventually("the cache has it", func(ctx context.Context) bool { return cached.Get(ctx, client.ObjectKeyFromObject(big), seen) == nil })
	if size := seen.Size(); size > 1024 {
		t.Errorf("the cache holds %d bytes of it", size)
	}
}

func TestThreatCachePollutionByAnnotations(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	big := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "big", Labels: map[string]string{secret.UIDLabel: "x"},
		Annotations: map[string]string{"x": strings.Repeat("a", 250<<10)}}}
	env.Must(user.Create(env.Context(), big))
	seen := &corev1.Secret{}
	env.Eventually("the cache has it", func(ctx context.Context) bool { return cached.Get(ctx, client.ObjectKeyFromObject(big), seen) == nil })
	if size := seen.Size(); size > 4096 {
		t.Errorf("the cache holds %d bytes of it", size)
	}
}

// An object that is going gets nothing, however long a finalizer holds it.
func TestThreatFinalizers(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	held := env.NewCredential("held", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	env.Must(user.Create(env.Context(), held))
	env.Must(user.Delete(env.Context(), held))
	env.reconcile(held)
	env.WantCalls(0)
	env.Must(user.Patch(env.Context(), held, merge(`{"metadata":{"finalizers":null}}`)))

	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	env.reconcile(c)
	s := env.Secret("orders")
	env.Must(user.Patch(env.Context(), s, merge(`{"metadata":{"finalizers":["example.com/hold"]}}`)))
	env.Must(user.Delete(env.Context(), s))
	for range 5 {
		env.reconcile(c)
	}
	env.WantCalls(1)
	env.wantWorking("orders")
	env.Must(user.Patch(env.Context(), s, merge(`{"metadata":{"finalizers":null}}`)))
}
