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
func (l *till) atOnce(namespace string) (n int) {
	for l.Acquire(ratelimit.Unaccepted(namespace), made(namespace, n)) == 0 {
		n++
	}
	return n
}

// However many namespaces make up identities, their calls that no account has accepted have the limits of one account, and
// a namespace has a share of that.
func TestUnacceptedCallsAreBoundedInAll(t *testing.T) {
	l := newTill(t, 20, 20)
	if n := l.atOnce("hostile"); n != 5 {
		t.Errorf("one namespace makes %d calls at once, want 5 of 20", n)
	}
	calls := 5
	for i := range 200 {
		calls += l.atOnce(fmt.Sprint("hostile-", i))
	}
	if calls != 20 {
		t.Errorf("many namespaces make %d calls at once, want 20", calls)
	}
	if n := l.calls(100*time.Second, 201, func(i int) string { return fmt.Sprint("hostile-", i) }); n > 2001 {
		t.Errorf("201 namespaces make %d calls in 100 s, want 20 a second", n)
	}
	if wait := l.Acquire(account, named("accepted")); wait != 0 {
		t.Errorf("a call that its account accepts waits %v for them", wait)
	}
}

// calls counts those that namespaces make in a while when each always wants one.
func (l *till) calls(span time.Duration, namespaces int, name func(int) string) (calls int) {
	for end := l.clock.Now().Add(span); l.clock.Now().Before(end); l.step(500 * time.Millisecond) {
		for i := range namespaces {
			for l.Acquire(ratelimit.Unaccepted(name(i)), made(name(i), 0)) == 0 {
				calls++
			}
		}
	}
	return calls
}

func TestOneNamespaceHasATenthOfTheUnacceptedCalls(t *testing.T) {
	l := newTill(t, 20, 20)
	l.atOnce("hostile")
	if n := l.calls(100*time.Second, 1, func(int) string { return "hostile" }); n < 190 || n > 201 {
		t.Errorf("one namespace makes %d calls in 100 s, want 2 a second", n)
	}
}

// An innocent namespace's first call goes in its turn, whatever 40 hostile ones want.
func TestUnacceptedNamespacesTakeTurns(t *testing.T) {
	l := newTill(t, 20, 20)
	claims := map[types.NamespacedName]bool{}
	for i := range 40 {
		for j := range 50 {
			claim := made(fmt.Sprint("hostile-", i), j)
			claims[claim.NamespacedName] = true
			l.Acquire(ratelimit.Unaccepted(claim.Namespace), claim)
		}
	}
	start, served := l.clock.Now(), false
	l.Acquire(ratelimit.Unaccepted("innocent"), made("innocent", 0))
	hostile := map[string]int{}
	for !served && l.clock.Now().Before(start.Add(time.Minute)) {
		l.step(50 * time.Millisecond)
		names, _ := l.Admitted()
		for _, name := range names {
			if l.Acquire(ratelimit.Unaccepted(name.Namespace), ratelimit.Claim{NamespacedName: name, First: true}) == 0 {
				l.Release(ratelimit.Unaccepted(name.Namespace))
				served = served || name.Namespace == "innocent"
				hostile[name.Namespace]++
			}
		}
	}
	if waited := l.clock.Now().Sub(start); !served || waited > 3*time.Second {
		t.Errorf("it waited %v, served: %t", waited, served)
	}
	for namespace, n := range hostile {
		if n > 2 {
			t.Errorf("%s had %d calls meanwhile", namespace, n)
		}
	}
}

// Calls that hang take half of the places, however many namespaces make them, and one namespace half of these.
func TestUnacceptedCallsThatHangLeaveRoom(t *testing.T) {
	l := newTill(t, 1000, 1000)
	l.LimitInFlight(32)
	if n := l.atOnce("a"); n != 8 {
		t.Errorf("one namespace has %d calls under way, want 8 of 32", n)
	}
	calls := 8
	for i := range 100 {
		calls += l.atOnce(fmt.Sprint("b", i))
	}
	if calls != 16 {
		t.Errorf("all namespaces have %d calls under way, want 16 of 32", calls)
	}
	for i := range 8 {
		if wait := l.Acquire(account, named(fmt.Sprint(i))); wait != 0 {
			t.Errorf("call %d that its account accepts waits %v", i, wait)
		}
	}
	for range 8 {
		l.Release(ratelimit.Unaccepted("a"))
	}
	if names, _ := l.Admitted(); len(names) == 0 {
		t.Error("it is nobody's turn though calls have ended")
	}
}

// Whoever has the calls of its own account throttled does not stop another namespace's.
func TestUnacceptedThrottlingIsTheNamespaces(t *testing.T) {
	l := newTill(t, 20, 20)
	l.Throttled(ratelimit.Unaccepted("hostile"), time.Minute)
	l.wantTake("its own namespace", ratelimit.Unaccepted("hostile"), made("hostile", 0), time.Minute)
	l.wantTake("another one", ratelimit.Unaccepted("innocent"), made("innocent", 0), 0)
}

// Who has become known gives the turn that it was kept to the next one.
func TestUnacceptedTurnsAreHandedOn(t *testing.T) {
	l := newTill(t, 10, 1)
	l.atOnce("a")
	l.Acquire(ratelimit.Unaccepted("a"), made("a", 7))
	l.Acquire(ratelimit.Unaccepted("b"), made("b", 0))
	l.step(time.Second)
	l.wantTake("the turn of a", ratelimit.Unaccepted("a"), made("a", 1), 0)
	l.step(time.Second)
	if names, _ := l.Admitted(); len(names) != 1 || names[0] != made("b", 0).NamespacedName {
		t.Errorf("it is the turn of %v, want b/0", names)
	}
	l.wantTake("its account is known", account, made("b", 0), 0)
	if names, _ := l.Admitted(); len(names) != 1 || names[0] != made("a", 7).NamespacedName {
		t.Errorf("it is the turn of %v, want a/7", names)
	}
}

// Nothing is kept of namespaces that want nothing any more.
func TestUnacceptedNamespacesAreForgotten(t *testing.T) {
	l := newTill(t, 20, 20)
	for i := range 1000 {
		l.atOnce(fmt.Sprint("n", i))
	}
	for range 60 {
		l.step(10 * time.Second)
		l.Admitted()
	}
	if n := l.Buckets(); n != 0 {
		t.Errorf("%d buckets are kept", n)
	}
}

// What waits for nobody counts, too.
func TestSpentCallsCount(t *testing.T) {
	l := newTill(t, 10, 1)
	l.Spend(account)
	l.wantTake("the call after it", account, named("a"), 100*time.Millisecond)
}
