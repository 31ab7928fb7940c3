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

// till is a budget, the clock that it goes by, and what becomes of one account.
type till struct {
	*testing.T
	*ratelimit.Budget
	clock *clocktesting.FakePassiveClock
}

func newTill(t *testing.T, qps float64, burst int) *till {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	return &till{T: t, Budget: ratelimit.NewBudget(qps, burst, clock), clock: clock}
}

func (l *till) step(d time.Duration) { l.clock.SetTime(l.clock.Now().Add(d)) }

// named is the claim of a new credential.
func named(name string) ratelimit.Claim {
	return ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}, First: true}
}

// expiring is the claim of a credential whose old ones expire in a while.
func (l *till) expiring(name string, in time.Duration) ratelimit.Claim {
	claim := named(name)
	claim.First, claim.Expires = false, l.clock.Now().Add(in)
	return claim
}

// wantTurns insists on whose turn has come, and when to ask again.
func (l *till) wantTurns(story string, wantNext time.Duration, want ...string) {
	l.Helper()
	names, next := l.Admitted()
	var got []string
	for _, name := range names {
		got = append(got, name.Name)
	}
	if !slices.Equal(got, want) || next.Round(time.Microsecond) != wantNext {
		l.Errorf("%s: the turn of %v has come, next look in %v; want %v and %v", story, got, next, want, wantNext)
	}
}

// wantTake insists on how long a claim waits.
func (l *till) wantTake(story, account string, claim ratelimit.Claim, want time.Duration) {
	l.Helper()
	if got := l.Acquire(account, claim).Round(time.Microsecond); got != want {
		l.Errorf("%s: %s waits %v, want %v", story, claim.Name, got, want)
	}
}

// told reports whether there is news.
func (l *till) told() bool {
	select {
	case <-l.Notify():
		return true
	default:
		return false
	}
}

// step is one call in a story; first the clock moves on by after.
type step struct {
	after     time.Duration
	take      string        // the name, or
	leave     string        // the name, or
	throttled time.Duration // the answer, if not 0, or
	turns     string        // those whose turn has come
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
			{take: "a"}, {take: "b"}, {take: "c", want: tick}, {take: "d", want: 2 * tick}, {take: "e", want: 3 * tick},
		}},
		{"who waited gets its turn, though others ask before it", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: tick, take: "c", want: tick}, {turns: "b", want: tick}, {take: "b"},
		}},
		{"asking early costs nothing and gains nothing", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: tick / 2, take: "b", want: tick / 2}, {take: "b", want: tick / 2}, {after: tick / 2, take: "b"},
		}},
		{"each is called once", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {take: "c", want: 2 * tick}, {after: tick, turns: "b", want: tick}, {turns: "", want: tick},
			{take: "b"}, {after: tick, turns: "c"}, {take: "c"}, {after: tick, turns: ""},
		}},
		{"a turn waits half a minute for whose it is", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: tick, turns: "b"}, {after: 30 * time.Second, take: "c", want: tick}, {take: "b"},
		}},
		{"and no longer", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: tick, turns: "b"}, {after: 30*time.Second + tick, take: "c"}, {take: "b", want: tick},
		}},
		{"what is called and does not come holds up one call only", 2, []step{
			{take: "a"}, {take: "b"}, {take: "gone", want: tick}, {take: "c", want: 2 * tick}, {take: "d", want: 3 * tick},
			{after: 2 * tick, turns: "gone c", want: tick}, {take: "c"}, {after: tick, turns: "d"}, {take: "d"},
		}},
		{"who waits and stays away for long is forgotten", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {throttled: time.Minute}, {after: 40 * time.Second, take: "c", want: 20 * time.Second},
		}},
		{"who leaves is not waited for", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {take: "c", want: 2 * tick}, {leave: "b"}, {after: tick, turns: "c"}, {take: "c"},
		}},
		{"nor if its turn had come", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {take: "c", want: 2 * tick}, {after: tick, turns: "b", want: tick}, {leave: "b"},
			{turns: "c"}, {take: "c"}, {leave: "never heard of"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(newTill(t, 10, c.burst), c.steps) })
	}
}

func run(l *till, steps []step) {
	l.Helper()
	for i, s := range steps {
		l.step(s.after)
		story := fmt.Sprint("step ", i)
		switch {
		case s.throttled != 0:
			l.Throttled(account, s.throttled)
		case s.take != "":
			l.wantTake(story, account, named(s.take), s.want)
		case s.leave != "":
			l.Cancel(named(s.leave).NamespacedName)
		default:
			l.wantTurns(story, s.want, strings.Fields(s.turns)...)
		}
	}
}

func TestTheEarliestExpiryGoesFirst(t *testing.T) {
	l := newTill(t, 1, 1)
	l.Acquire(account, named("a"))
	l.Acquire(account, l.expiring("late", time.Hour))
	l.Acquire(account, l.expiring("soon", 5*time.Minute))
	l.Acquire(account, named("new"))
	l.step(time.Second)
	l.wantTurns("one token is there", time.Second, "soon")
	l.wantTake("it is not for others", account, l.expiring("late", time.Hour), 2*time.Second)
	l.wantTake("nor for whoever expires even earlier", account, l.expiring("sooner", time.Minute), 3*time.Second)
	l.wantTake("but its own", account, l.expiring("soon", 5*time.Minute), 0)
	l.step(time.Second)
	l.wantTurns("who came later", time.Second, "sooner")
	l.Cancel(named("sooner").NamespacedName)
	l.wantTurns("left, so the next has the token", time.Second, "late")
	l.Acquire(account, l.expiring("late", time.Hour))
	l.step(time.Second)
	l.wantTurns("nothing else waits", 0, "new")
	if n := l.Waiting(); n != 1 {
		t.Errorf("%d wait", n)
	}
}

// A claim that has changed stands where it belongs now, and one waits once, for one account.
func TestAClaimThatChanges(t *testing.T) {
	l := newTill(t, 1, 1)
	l.Acquire(account, named("first"))
	l.Acquire(account, named("a"))
	l.Acquire(account, l.expiring("b", time.Hour))
	l.Acquire(account, l.expiring("a", time.Minute)) // it has something that expires now
	l.step(time.Second)
	l.wantTurns("a has become urgent", time.Second, "a")
	l.wantTake("another account asks for it", "another", named("a"), 0)
	l.wantTurns("it does not wait for the former any more", 0, "b")
	l.Acquire("another", named("c"))
	l.Acquire(account, named("c"))
	l.step(time.Second)
	l.Acquire(account, l.expiring("b", time.Hour))
	if n := l.Waiting(); n != 1 {
		t.Errorf("%d wait, want c alone, and once", n)
	}
	l.step(time.Second)
	l.wantTurns("c waits for the account that it named last", 0, "c")
	l.wantTake("which is not the other one", "another", named("d"), 0)
}

// Whoever sleeps until Turns says so hears of everything that comes earlier.
func TestNews(t *testing.T) {
	l := newTill(t, 1, 1)
	l.LimitInFlight(1)
	l.Acquire(account, named("a"))
	if l.told() {
		t.Error("there is news though nobody waits")
	}
	l.Acquire(account, named("b"))
	if !l.told() {
		t.Error("the first who waits is no news")
	}
	l.step(time.Second)
	l.wantTurns("a is under way", 30*time.Second)
	l.Release(account)
	if !l.told() {
		t.Error("the end of a call is no news")
	}
	l.wantTurns("b's turn has come", 0, "b")
	l.Acquire(account, named("c"))
	l.told()
	l.Cancel(named("b").NamespacedName)
	if !l.told() {
		t.Error("a token that becomes free is no news")
	}
	l.wantTurns("c has it", 0, "c")
	l.Throttled(account, time.Second)
	if !l.told() {
		t.Error("a pause is no news")
	}
	l.wantTurns("the time after the pause", 2*time.Second)
	l.step(2 * time.Second)
	l.wantTurns("c's turn has come again", 0, "c")
}

func TestAccountsDoNotShareABudget(t *testing.T) {
	l := newTill(t, 0, 0) // the least there is
	if l.Acquire("one", named("a")) != 0 || l.Acquire("two", named("a")) != 0 {
		t.Error("the first call of an account waits")
	}
	l.Throttled("one", time.Second)
	if l.Acquire("one", named("b")) == 0 || l.Acquire("three", named("c")) != 0 {
		t.Error("throttling stops another account")
	}
}

// A wait lasts from the first Take of a turn to the one that gets it, whatever happens between them.
func TestWaitsAreObserved(t *testing.T) {
	l := newTill(t, 1, 1)
	l.LimitInFlight(1)
	var waited []time.Duration
	l.Observe(func(d time.Duration) { waited = append(waited, d) })
	take := func(after time.Duration, name string) {
		l.step(after)
		l.Acquire(account, named(name))
	}
	take(0, "at once")
	take(0, "b")
	take(500*time.Millisecond, "b")
	l.Throttled(account, 10*time.Second)
	take(time.Second, "b")
	take(9*time.Second, "b") // its turn, but the first call hangs
	take(3*time.Second, "b")
	l.Release(account)
	take(2*time.Second, "b")
	l.Release(account)
	take(10*time.Second, "c")
	if want := []time.Duration{0, 15500 * time.Millisecond, 0}; !slices.Equal(waited, want) {
		t.Errorf("waited %v, want %v", waited, want)
	}
}
