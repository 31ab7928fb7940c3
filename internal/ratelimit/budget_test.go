// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

const account = "1234567890123456"

// environment is a budget, the clock that it goes by, and what becomes of one account.
type environment struct {
	*testing.T
	*ratelimit.Budget
	clock *clocktesting.FakePassiveClock
}

func newEnvironment(t *testing.T, qps float64, burst int) *environment {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	return &environment{T: t, Budget: ratelimit.NewBudget(qps, burst, clock), clock: clock}
}

func (e *environment) step(d time.Duration) { e.clock.SetTime(e.clock.Now().Add(d)) }

// named is the claim of a new credential.
func named(name string) ratelimit.Claim {
	return ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, First: true}
}

// expiring is the claim of a credential whose old ones expire in a while.
func (e *environment) expiring(name string, in time.Duration) ratelimit.Claim {
	claim := named(name)
	claim.First, claim.Expires = false, e.clock.Now().Add(in)
	return claim
}

// wantAdmitted checks which claims are admitted, and when to call Admitted again.
func (e *environment) wantAdmitted(story string, wantNext time.Duration, want ...string) {
	e.Helper()
	names, next := e.Admitted()
	var got []string
	for _, name := range names {
		got = append(got, name.Name)
	}
	if !slices.Equal(got, want) || next.Round(time.Microsecond) != wantNext {
		e.Errorf("%s: %v are admitted, next call in %v; want %v and %v", story, got, next, want, wantNext)
	}
}

// wantAcquire checks how long a claim waits.
func (e *environment) wantAcquire(story, account string, claim ratelimit.Claim, want time.Duration) {
	e.Helper()
	if got := e.Acquire(account, claim).Round(time.Microsecond); got != want {
		e.Errorf("%s: %s waits %v, want %v", story, claim.Name, got, want)
	}
}

// notified reports whether Notify has received.
func (e *environment) notified() bool {
	select {
	case <-e.Notify():
		return true
	default:
		return false
	}
}

// step is one call in a story; first the clock moves on by after.
type step struct {
	after     time.Duration
	acquire   string        // the name, or
	cancel    string        // the name, or
	throttled time.Duration // the answer, if not 0, or
	admitted  string        // the admitted claims
	want      time.Duration
}

func TestBudget(t *testing.T) {
	const tick = 100 * time.Millisecond // one call of ten per second
	for _, c := range []struct {
		name  string
		burst int
		steps []step
	}{
		{"a burst goes through, the rest waits in order", 2, []step{
			{acquire: "a"}, {acquire: "b"}, {acquire: "c", want: tick}, {acquire: "d", want: 2 * tick}, {acquire: "e", want: 3 * tick},
		}},
		{"a waiting claim is admitted before later ones", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {after: tick, acquire: "c", want: tick}, {admitted: "b", want: tick}, {acquire: "b"},
		}},
		{"an early Acquire has no effect", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {after: tick / 2, acquire: "b", want: tick / 2}, {acquire: "b", want: tick / 2}, {after: tick / 2, acquire: "b"},
		}},
		{"each is called once", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {acquire: "c", want: 2 * tick}, {after: tick, admitted: "b", want: tick}, {admitted: "", want: tick},
			{acquire: "b"}, {after: tick, admitted: "c"}, {acquire: "c"}, {after: tick, admitted: ""},
		}},
		{"a reservation is kept for half a minute", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {after: tick, admitted: "b"}, {after: 30 * time.Second, acquire: "c", want: tick}, {acquire: "b"},
		}},
		{"and no longer", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {after: tick, admitted: "b"}, {after: 30*time.Second + tick, acquire: "c"}, {acquire: "b", want: tick},
		}},
		{"what is called and does not come holds up one call only", 2, []step{
			{acquire: "a"}, {acquire: "b"}, {acquire: "gone", want: tick}, {acquire: "c", want: 2 * tick}, {acquire: "d", want: 3 * tick},
			{after: 2 * tick, admitted: "gone c", want: tick}, {acquire: "c"}, {after: tick, admitted: "d"}, {acquire: "d"},
		}},
		{"a claim that is not repeated is dropped", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {throttled: time.Minute}, {after: 40 * time.Second, acquire: "c", want: 20 * time.Second},
		}},
		{"a canceled claim delays no other", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {acquire: "c", want: 2 * tick}, {cancel: "b"}, {after: tick, admitted: "c"}, {acquire: "c"},
		}},
		{"nor if it was admitted", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {acquire: "c", want: 2 * tick}, {after: tick, admitted: "b", want: tick}, {cancel: "b"},
			{admitted: "c"}, {acquire: "c"}, {cancel: "never heard of"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(newEnvironment(t, 10, c.burst), c.steps) })
	}
}

func run(e *environment, steps []step) {
	e.Helper()
	for i, s := range steps {
		e.step(s.after)
		story := fmt.Sprint("step ", i)
		switch {
		case s.throttled != 0:
			e.Throttled(account, s.throttled)
		case s.acquire != "":
			e.wantAcquire(story, account, named(s.acquire), s.want)
		case s.cancel != "":
			e.Cancel(named(s.cancel).NamespacedName)
		default:
			e.wantAdmitted(story, s.want, strings.Fields(s.admitted)...)
		}
	}
}

func TestTheEarliestExpiryGoesFirst(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	e.Acquire(account, named("a"))
	e.Acquire(account, e.expiring("late", time.Hour))
	e.Acquire(account, e.expiring("soon", 5*time.Minute))
	e.Acquire(account, named("new"))
	e.step(time.Second)
	e.wantAdmitted("one token is there", time.Second, "soon")
	e.wantAcquire("it is not for others", account, e.expiring("late", time.Hour), 2*time.Second)
	e.wantAcquire("nor for whoever expires even earlier", account, e.expiring("sooner", time.Minute), 3*time.Second)
	e.wantAcquire("but its own", account, e.expiring("soon", 5*time.Minute), 0)
	e.step(time.Second)
	e.wantAdmitted("who came later", time.Second, "sooner")
	e.Cancel(named("sooner").NamespacedName)
	e.wantAdmitted("left, so the next has the token", time.Second, "late")
	e.Acquire(account, e.expiring("late", time.Hour))
	e.step(time.Second)
	e.wantAdmitted("nothing else waits", 0, "new")
	if n := e.Waiting(); n != 1 {
		t.Errorf("%d wait", n)
	}
}

// A claim that has changed stands where it belongs now, and one waits once, for one account.
func TestAClaimThatChanges(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	e.Acquire(account, named("first"))
	e.Acquire(account, named("a"))
	e.Acquire(account, e.expiring("b", time.Hour))
	e.Acquire(account, e.expiring("a", time.Minute)) // it has something that expires now
	e.step(time.Second)
	e.wantAdmitted("a has become urgent", time.Second, "a")
	e.wantAcquire("another account asks for it", "another", named("a"), 0)
	e.wantAdmitted("it does not wait for the former any more", 0, "b")
	e.Acquire("another", named("c"))
	e.Acquire(account, named("c"))
	e.step(time.Second)
	e.Acquire(account, e.expiring("b", time.Hour))
	if n := e.Waiting(); n != 1 {
		t.Errorf("%d wait, want c alone, and once", n)
	}
	e.step(time.Second)
	e.wantAdmitted("c waits for the account that it named last", 0, "c")
	e.wantAcquire("which is not the other one", "another", named("d"), 0)
}

// Notify receives whenever Admitted must be called earlier.
func TestNotify(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	e.LimitInFlight(1)
	e.Acquire(account, named("a"))
	if e.notified() {
		t.Error("notified though no claim waits")
	}
	e.Acquire(account, named("b"))
	if !e.notified() {
		t.Error("not notified of the first waiting claim")
	}
	e.step(time.Second)
	e.wantAdmitted("a is under way", 30*time.Second)
	e.Release(account)
	if !e.notified() {
		t.Error("not notified of the end of a call")
	}
	e.wantAdmitted("b is admitted", 0, "b")
	e.Acquire(account, named("c"))
	e.notified()
	e.Cancel(named("b").NamespacedName)
	if !e.notified() {
		t.Error("not notified of a free token")
	}
	e.wantAdmitted("c has it", 0, "c")
	e.Throttled(account, time.Second)
	if !e.notified() {
		t.Error("not notified of a pause")
	}
	e.wantAdmitted("the time after the pause", 2*time.Second)
	e.step(2 * time.Second)
	e.wantAdmitted("c is admitted again", 0, "c")
}

func TestAccountsDoNotShareABudget(t *testing.T) {
	e := newEnvironment(t, 0, 0) // the least there is
	if e.Acquire("one", named("a")) != 0 || e.Acquire("two", named("a")) != 0 {
		t.Error("the first call of an account waits")
	}
	e.Throttled("one", time.Second)
	if e.Acquire("one", named("b")) == 0 || e.Acquire("three", named("c")) != 0 {
		t.Error("throttling stops another account")
	}
}

// A wait lasts from the first Acquire of a claim to the one that is allowed.
func TestWaitsAreObserved(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	e.LimitInFlight(1)
	var waited []time.Duration
	e.Observe(func(d time.Duration) { waited = append(waited, d) })
	take := func(after time.Duration, name string) {
		e.step(after)
		e.Acquire(account, named(name))
	}
	take(0, "at once")
	take(0, "b")
	take(500*time.Millisecond, "b")
	e.Throttled(account, 10*time.Second)
	take(time.Second, "b")
	take(9*time.Second, "b") // admitted, but the first call hangs
	take(3*time.Second, "b")
	e.Release(account)
	take(2*time.Second, "b")
	e.Release(account)
	take(10*time.Second, "c")
	if want := []time.Duration{0, 15500 * time.Millisecond, 0}; !slices.Equal(waited, want) {
		t.Errorf("waited %v, want %v", waited, want)
	}
}
