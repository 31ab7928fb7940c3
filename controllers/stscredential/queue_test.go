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

// calledFor are the names of the credentials that STS was asked for, in order.
func (env *environment) calledFor() (names []string) {
	for _, c := range env.Emulator.Calls() {
		if name, ok := strings.CutPrefix(c.SessionName, env.Namespace+"."); ok && c.Action == "AssumeRole" {
			names = append(names, name)
		}
	}
	return names
}

// waitForQueue polls until so many wait for their turn.
func (env *environment) waitForQueue(n int) {
	env.Helper()
	env.Eventually("the others wait for their turn", func(context.Context) bool { return env.Budget.Waiting() == n })
}

// stepToNextCall moves the clock on until a token frees, and polls until the call is made.
func (env *environment) stepToNextCall(token time.Duration) {
	env.Helper()
	calls, polls := env.Calls(), 0
	env.Eventually("the next call is made", func(context.Context) bool {
		if polls%500 == 0 { // again where the operator was about to sleep, and slept longer for that
			env.Step(token)
		}
		polls++
		return env.Calls() > calls
	})
}

// While the call budget is short, the earliest expiry is served first, in whatever order the calls arrived. StsCredentials that
// are deleted or suspended delay no others, and first issuances get their turn.
func TestTheEarliestExpiryIsServedFirst(t *testing.T) {
	const token = 10 * time.Second
	env := newEnvironment(t)
	var all []*v1alpha1.StsCredential
	for _, name := range []string{"gone", "suspended", "z-first", "m-second", "a-third"} {
		c := env.CreateCredential(name)
		env.reconcile(c)
		all = append(all, c)
		env.Step(time.Minute)
	}
	env.Step(45 * time.Minute) // all are due, none has expired
	before := len(all)
	env.Budget = stsBudget(env, 1/token.Seconds(), 1)
	env.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}})
	env.CreateCredential("new")
	env.startManager()
	env.waitForQueue(6)
	env.Must(api.Delete(env.Context(), all[0]))
	env.Edit(all[1], func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	env.waitForQueue(4)
	env.WantCalls(before)
	for range 3 {
		env.stepToNextCall(token)
	}
	urgent := env.CreateCredential("urgent") // new, as far as it goes, but with nothing to lose
	env.waitForQueue(2)
	for range 2 {
		env.stepToNextCall(token)
	}
	if got, want := env.calledFor()[before:], []string{"z-first", "m-second", "a-third", "new", "urgent"}; !slices.Equal(got, want) {
		t.Errorf("STS was asked for %v, want %v", got, want)
	}
	env.Eventually("the last is ready", func(context.Context) bool { return env.Secret("urgent") != nil })
	if now := env.STSClock.Now(); !now.Before(all[2].Status.ExpiresAt.Time) {
		t.Errorf("at %v some have expired: the story took too long", now)
	}
	env.wantWorking(urgent.SecretName())
}

// The end of a call admits the next one at once, though nobody's time has come.
func TestTheEndOfACallWakesTheNext(t *testing.T) {
	env := newEnvironment(t)
	env.Budget.LimitInFlight(1)
	if wait := env.Budget.Acquire(account, ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "elsewhere", Name: "other"}}); wait != 0 {
		t.Fatal(wait)
	}
	env.startManager()
	c := env.CreateCredential("orders")
	env.waitForQueue(1)
	env.WantCalls(0)
	env.Budget.Release(account)
	env.Eventually("the next call is made", func(context.Context) bool { return env.Secret("orders") != nil })
	env.wantWorking(c.SecretName())
}

// What a claim says decides whose turn it is.
func TestClaims(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(env *environment, c *v1alpha1.StsCredential)
		expires bool
		first   bool
	}{
		{"due", func(env *environment, _ *v1alpha1.StsCredential) { env.Step(50 * time.Minute) }, true, false},
		{"expired", func(env *environment, _ *v1alpha1.StsCredential) { env.Step(2 * time.Hour) }, true, false},
		{"asked for", func(env *environment, c *v1alpha1.StsCredential) {
			env.Edit(c, func(c *v1alpha1.StsCredential) {
				c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
			})
		}, true, false},
		{"another policy is imposed", func(env *environment, _ *v1alpha1.StsCredential) {
			env.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = policyOf("oss:Get*") })
		}, true, false},
		{"the spec wants another", func(env *environment, c *v1alpha1.StsCredential) {
			env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
		}, true, true},
		{"the Secret is gone", func(env *environment, _ *v1alpha1.StsCredential) {
			env.Must(api.Delete(env.Context(), env.Secret("orders")))
		}, false, true},
		{"the record is edited", func(env *environment, _ *v1alpha1.StsCredential) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/expires-at"] = "2020-01-01T00:00:00Z" })
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			tt.change(env, c)
			env.WaitForCache(c)
			asked, err := readSpec(c, "", "")
			env.Must(err)
			allowed, err := authorize(env.Context(), env.Client, c, asked.request, "")
			env.Must(err)
			tg := target{credential: c, spec: asked, access: allowed, history: env.states.of(c, env.Clock.Now()).history(c)}
			e, err := env.secrets().observe(env.Context(), tg, nil)
			env.Must(err)
			decision := decider{env.Early, env.STS}.decide(tg, e)
			claim := claimOf(tg, e, decision)
			if claim.Expires.IsZero() == tt.expires || claim.First != tt.first || claim.Name != "orders" || claim.Namespace != env.Namespace {
				t.Errorf("%s: claim %+v", decision.Cause, claim)
			}
			if tt.expires && !claim.Expires.Equal(c.Status.ExpiresAt.Time) {
				t.Errorf("it expires at %v, claims %v", c.Status.ExpiresAt, claim.Expires)
			}
		})
	}
}
