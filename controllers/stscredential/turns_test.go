// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// askedFor are the names of the credentials that STS was asked for, in order.
func (w *world) askedFor() (names []string) {
	for _, c := range w.emulator.Calls() {
		if name, ok := strings.CutPrefix(c.SessionName, w.namespace+"."); ok && c.Action == "AssumeRole" {
			names = append(names, name)
		}
	}
	return names
}

// waiting polls until so many wait for their turn.
func (w *world) waiting(n int) {
	w.Helper()
	w.eventually("the others wait for their turn", func(context.Context) bool { return w.Budget.Waiting() == n })
}

// nextTurn moves the clock on until a token frees, and polls until the call is made.
func (w *world) nextTurn(token time.Duration) {
	w.Helper()
	calls, polls := w.calls(), 0
	w.eventually("the next call is made", func(context.Context) bool {
		if polls%500 == 0 { // again where the operator was about to sleep, and slept longer for that
			w.step(token)
		}
		polls++
		return w.calls() > calls
	})
}

// While the budget is short, an operator at work serves the earliest expiry first, whoever came first; those that go or
// are wanted no more hold up nobody, and new ones get their turn.
func TestTheEarliestExpiryIsServedFirst(t *testing.T) {
	const token = 10 * time.Second
	w := newWorld(t)
	var all []*v1alpha1.StsCredential
	for _, name := range []string{"gone", "suspended", "z-first", "m-second", "a-third"} {
		c := w.credential(name)
		w.pass(c)
		all = append(all, c)
		w.step(time.Minute)
	}
	w.step(45 * time.Minute) // all are due, none has expired
	before := len(all)
	w.Budget = stsBudget(w, 1/token.Seconds(), 1)
	w.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}})
	w.credential("new")
	w.manage()
	w.waiting(6)
	w.must(api.Delete(w.ctx, all[0]))
	w.edit(all[1], func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	w.waiting(4)
	w.wantCalls(before)
	for range 3 {
		w.nextTurn(token)
	}
	urgent := w.credential("urgent") // new, as far as it goes, but with nothing to lose
	w.waiting(2)
	for range 2 {
		w.nextTurn(token)
	}
	if got, want := w.askedFor()[before:], []string{"z-first", "m-second", "a-third", "new", "urgent"}; !slices.Equal(got, want) {
		t.Errorf("STS was asked for %v, want %v", got, want)
	}
	w.eventually("the last is ready", func(context.Context) bool { return w.secret("urgent") != nil })
	if now := w.stsClock.Now(); !now.Before(all[2].Status.ExpiresAt.Time) {
		t.Errorf("at %v some have expired: the story took too long", now)
	}
	w.wantWorking(urgent.SecretName())
}

// The end of a call makes room for the next one at once, though nobody's time has come.
func TestTheEndOfACallWakesTheNext(t *testing.T) {
	w := newWorld(t)
	w.Budget.LimitInFlight(1)
	if wait := w.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}}); wait != 0 {
		t.Fatal(wait)
	}
	w.manage()
	c := w.credential("orders")
	w.waiting(1)
	w.wantCalls(0)
	w.Budget.Release(account)
	w.eventually("the next call is made", func(context.Context) bool { return w.secret("orders") != nil })
	w.wantWorking(c.SecretName())
}

// What a claim says decides whose turn it is.
func TestClaims(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(w *world, c *v1alpha1.StsCredential)
		expires bool
		first   bool
	}{
		{"due", func(w *world, _ *v1alpha1.StsCredential) { w.step(50 * time.Minute) }, true, false},
		{"expired", func(w *world, _ *v1alpha1.StsCredential) { w.step(2 * time.Hour) }, true, false},
		{"asked for", func(w *world, c *v1alpha1.StsCredential) {
			w.edit(c, func(c *v1alpha1.StsCredential) {
				c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
			})
		}, true, false},
		{"another policy is imposed", func(w *world, _ *v1alpha1.StsCredential) {
			w.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = policyOf("oss:Get*") })
		}, true, false},
		{"the spec wants another", func(w *world, c *v1alpha1.StsCredential) {
			w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
		}, true, true},
		{"the Secret is gone", func(w *world, _ *v1alpha1.StsCredential) { w.must(api.Delete(w.ctx, w.secret("orders"))) }, false, true},
		{"the record is edited", func(w *world, _ *v1alpha1.StsCredential) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2020-01-01T00:00:00Z" })
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			tt.change(w, c)
			w.catchUp(c)
			asked, err := w.readSpec(c)
			w.must(err)
			allowed, err := w.authorize(w.ctx, c, asked.request)
			w.must(err)
			tg := target{credential: c, state: w.states.of(c, w.Clock.Now()), spec: asked, access: allowed}
			e, err := w.observe(w.ctx, tg, nil)
			w.must(err)
			decision := w.decide(tg, e)
			claim := claimOf(tg, e, decision)
			if claim.Expires.IsZero() == tt.expires || claim.First != tt.first || claim.Name != "orders" || claim.Namespace != w.namespace {
				t.Errorf("%s: claim %+v", decision.Cause, claim)
			}
			if tt.expires && !claim.Expires.Equal(c.Status.ExpiresAt.Time) {
				t.Errorf("it expires at %v, claims %v", c.Status.ExpiresAt, claim.Expires)
			}
		})
	}
}
