// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// made is a claim of that name in a namespace.
func made(namespace string, i int) ratelimit.Claim {
	return ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(i)}, First: true}
}

// atOnce takes calls for a namespace until one has to wait.
func (e *environment) atOnce(namespace string) (n int) {
	for e.Acquire(ratelimit.Unaccepted(namespace), made(namespace, n)) == 0 {
		n++
	}
	return n
}

// However many namespaces make up identities, their calls that no account has accepted have the limits of one account, and
// a namespace has a share of that.
func TestUnacceptedCallsAreBoundedInAll(t *testing.T) {
	e := newEnvironment(t, 20, 20)
	if n := e.atOnce("hostile"); n != 5 {
		t.Errorf("one namespace makes %d calls at once, want 5 of 20", n)
	}
	calls := 5
	for i := range 200 {
		calls += e.atOnce(fmt.Sprint("hostile-", i))
	}
	if calls != 20 {
		t.Errorf("many namespaces make %d calls at once, want 20", calls)
	}
	if n := e.calls(100*time.Second, 201, func(i int) string { return fmt.Sprint("hostile-", i) }); n > 2001 {
		t.Errorf("201 namespaces make %d calls in 100 s, want 20 a second", n)
	}
	if wait := e.Acquire(account, named("accepted")); wait != 0 {
		t.Errorf("a call that its account accepts waits %v for them", wait)
	}
}

// calls counts those that namespaces make in a while when each always wants one.
func (e *environment) calls(span time.Duration, namespaces int, name func(int) string) (calls int) {
	for end := e.clock.Now().Add(span); e.clock.Now().Before(end); e.step(500 * time.Millisecond) {
		for i := range namespaces {
			for e.Acquire(ratelimit.Unaccepted(name(i)), made(name(i), 0)) == 0 {
				calls++
			}
		}
	}
	return calls
}

func TestOneNamespaceHasATenthOfTheUnacceptedCalls(t *testing.T) {
	e := newEnvironment(t, 20, 20)
	e.atOnce("hostile")
	if n := e.calls(100*time.Second, 1, func(int) string { return "hostile" }); n < 190 || n > 201 {
		t.Errorf("one namespace makes %d calls in 100 s, want 2 a second", n)
	}
}

// 40 hostile namespaces do not delay the first call of another one for longer than a round.
func TestUnacceptedNamespacesAreRoundRobin(t *testing.T) {
	e := newEnvironment(t, 20, 20)
	claims := map[types.NamespacedName]bool{}
	for i := range 40 {
		for j := range 50 {
			claim := made(fmt.Sprint("hostile-", i), j)
			claims[claim.NamespacedName] = true
			e.Acquire(ratelimit.Unaccepted(claim.Namespace), claim)
		}
	}
	start, served := e.clock.Now(), false
	e.Acquire(ratelimit.Unaccepted("innocent"), made("innocent", 0))
	hostile := map[string]int{}
	for !served && e.clock.Now().Before(start.Add(time.Minute)) {
		e.step(50 * time.Millisecond)
		names, _ := e.Admitted()
		for _, name := range names {
			if e.Acquire(ratelimit.Unaccepted(name.Namespace), ratelimit.Claim{NamespacedName: name, First: true}) == 0 {
				e.Release(ratelimit.Unaccepted(name.Namespace))
				served = served || name.Namespace == "innocent"
				hostile[name.Namespace]++
			}
		}
	}
	if waited := e.clock.Now().Sub(start); !served || waited > 3*time.Second {
		t.Errorf("it waited %v, served: %t", waited, served)
	}
	for namespace, n := range hostile {
		if n > 2 {
			t.Errorf("%s had %d calls meanwhile", namespace, n)
		}
	}
}

// Hanging calls occupy half of the seats, however many namespaces make them, and one namespace half of these.
func TestHangingUnacceptedCallsLeaveSeatsFree(t *testing.T) {
	e := newEnvironment(t, 1000, 1000)
	e.LimitInFlight(32)
	if n := e.atOnce("a"); n != 8 {
		t.Errorf("one namespace has %d calls under way, want 8 of 32", n)
	}
	calls := 8
	for i := range 100 {
		calls += e.atOnce(fmt.Sprint("b", i))
	}
	if calls != 16 {
		t.Errorf("all namespaces have %d calls under way, want 16 of 32", calls)
	}
	for i := range 8 {
		if wait := e.Acquire(account, named(fmt.Sprint(i))); wait != 0 {
			t.Errorf("call %d that its account accepts waits %v", i, wait)
		}
	}
	for range 8 {
		e.Release(ratelimit.Unaccepted("a"))
	}
	if names, _ := e.Admitted(); len(names) == 0 {
		t.Error("no claim is admitted though calls have ended")
	}
}

// Throttled calls of one namespace do not stop those of another.
func TestUnacceptedThrottlingIsTheNamespaces(t *testing.T) {
	e := newEnvironment(t, 20, 20)
	e.Throttled(ratelimit.Unaccepted("hostile"), time.Minute)
	e.wantAcquire("its own namespace", ratelimit.Unaccepted("hostile"), made("hostile", 0), time.Minute)
	e.wantAcquire("another one", ratelimit.Unaccepted("innocent"), made("innocent", 0), 0)
}

// A claim whose account becomes known releases its reservation.
func TestUnusedUnacceptedReservationIsReleased(t *testing.T) {
	e := newEnvironment(t, 10, 1)
	e.atOnce("a")
	e.Acquire(ratelimit.Unaccepted("a"), made("a", 7))
	e.Acquire(ratelimit.Unaccepted("b"), made("b", 0))
	e.step(time.Second)
	e.wantAcquire("a is admitted", ratelimit.Unaccepted("a"), made("a", 1), 0)
	e.step(time.Second)
	if names, _ := e.Admitted(); len(names) != 1 || names[0] != made("b", 0).NamespacedName {
		t.Errorf("%v are admitted, want b/0", names)
	}
	e.wantAcquire("its account is known", account, made("b", 0), 0)
	if names, _ := e.Admitted(); len(names) != 1 || names[0] != made("a", 7).NamespacedName {
		t.Errorf("%v are admitted, want a/7", names)
	}
}

// No state is left of namespaces without claims.
func TestIdleUnacceptedNamespacesAreDropped(t *testing.T) {
	e := newEnvironment(t, 20, 20)
	for i := range 1000 {
		e.atOnce(fmt.Sprint("n", i))
	}
	for range 60 {
		e.step(10 * time.Second)
		e.Admitted()
	}
	if n := e.Buckets(); n != 0 {
		t.Errorf("%d buckets are kept", n)
	}
}

// Calls without a claim count, too.
func TestSpentCallsCount(t *testing.T) {
	e := newEnvironment(t, 10, 1)
	e.Spend(account)
	e.wantAcquire("the call after it", account, named("a"), 100*time.Millisecond)
}
