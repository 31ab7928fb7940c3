// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// step is one call in a story; first the clock moves on by after.
type step struct {
	after     time.Duration
	take      string        // the key, or
	throttled time.Duration // the answer, if not 0
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
			{take: "a"}, {take: "b", want: tick}, {after: tick, take: "c", want: tick}, {take: "b"},
		}},
		{"asking early costs nothing and gains nothing", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: tick / 2, take: "b", want: tick / 2}, {take: "b", want: tick / 2}, {after: tick / 2, take: "b"},
		}},
		{"a turn waits a minute for its key", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: time.Minute, take: "b"}, {take: "c"},
		}},
		{"and no longer", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {after: time.Minute + 2*tick, take: "c"}, {take: "b", want: tick},
		}},
		{"a throttling answer stops everybody, and halves the rate", 5, []step{
			{take: "a"}, {throttled: 3 * time.Second}, {take: "b", want: 3 * time.Second}, {take: "c", want: 3*time.Second + 2*tick},
			{after: 3 * time.Second, take: "b"}, {take: "c", want: 2 * tick},
		}},
		{"who waited keeps its turn in the queue", 1, []step{
			{take: "a"}, {take: "b", want: tick}, {take: "c", want: 2 * tick}, {throttled: time.Second},
			{take: "c", want: time.Second + 2*tick}, {take: "b", want: time.Second},
		}},
		{"32 workers that meet one wave halve the rate once", 1, []step{
			{throttled: time.Second}, {throttled: time.Second}, {throttled: time.Second},
			{take: "a", want: time.Second}, {take: "b", want: time.Second + 2*tick},
		}},
		{"a wave after the pause halves it again", 1, []step{
			{throttled: time.Second}, {after: time.Second, throttled: time.Second},
			{take: "a", want: time.Second}, {take: "b", want: time.Second + 4*tick},
		}},
		{"an untold pause is a second", 1, []step{{throttled: -1}, {take: "a", want: time.Second}}},
		{"an endless pause is a minute", 1, []step{{throttled: time.Hour}, {take: "a", want: time.Minute}}},
		{"a shorter pause does not end a longer one", 1, []step{
			{throttled: 5 * time.Second}, {throttled: time.Second}, {take: "a", want: 5 * time.Second},
		}},
		{"the rate recovers", 2, []step{
			{throttled: time.Second}, {after: 32 * time.Second, take: "a"}, {take: "b"}, {take: "c", want: tick},
		}},
		{"step by step, and turns only move forward", 1, []step{
			{throttled: time.Second}, {after: time.Second, throttled: time.Second}, // 2.5 per second
			{after: 30900 * time.Millisecond, take: "a"}, {take: "b", want: 4 * tick}, {take: "c", want: 8 * tick},
			{after: tick, take: "c", want: 2 * tick}, {take: "b"}, // 5 per second from here
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			budget := sts.NewBudget(10, c.burst, clock)
			for i, s := range c.steps {
				clock.SetTime(clock.Now().Add(s.after))
				if s.throttled != 0 {
					budget.Throttled(account, s.throttled)
					continue
				}
				if got := budget.Take(account, s.take).Round(time.Microsecond); got != s.want {
					t.Fatalf("step %d: %s waits %v, want %v", i, s.take, got, s.want)
				}
			}
		})
	}
}

func TestBudgetNeverGoesBelowASixteenth(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(16, 1, clock)
	for range 20 {
		budget.Throttled(account, time.Second)
		clock.SetTime(clock.Now().Add(time.Second))
	}
	budget.Take(account, "a")
	if got := budget.Take(account, "b"); got != time.Second {
		t.Errorf("got %v, want a call per second", got)
	}
}

func TestAccountsDoNotShareABudget(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(0, 0, clock) // the least there is
	if budget.Take("one", "a") != 0 || budget.Take("two", "a") != 0 {
		t.Error("the first call of an account waits")
	}
	budget.Throttled("one", time.Second)
	if budget.Take("one", "b") == 0 || budget.Take("three", "b") != 0 {
		t.Error("throttling stops another account")
	}
}

// A wait lasts from the first Take of a turn to the one that gets it, whatever happens between them.
func TestWaitsAreObserved(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(1, 1, clock)
	budget.LimitInFlight(1)
	var waited []time.Duration
	budget.Observe(func(d time.Duration) { waited = append(waited, d) })
	take := func(after time.Duration, key string) {
		clock.SetTime(clock.Now().Add(after))
		budget.Take(account, key)
	}
	take(0, "at once")
	take(0, "b")
	take(500*time.Millisecond, "b")
	budget.Throttled(account, 10*time.Second)
	take(time.Second, "b")
	take(9*time.Second, "b") // its turn, but the first call hangs
	take(3*time.Second, "b")
	budget.Done(account)
	take(2*time.Second, "b")
	budget.Done(account)
	take(0, "c")
	take(10*time.Minute, "c") // whose turn has lapsed
	if want := []time.Duration{0, 15500 * time.Millisecond, 0}; !slices.Equal(waited, want) {
		t.Errorf("waited %v, want %v", waited, want)
	}
}

func TestLimitOfAnAccount(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(20, 5, clock)
	want := func(story string, want float64) {
		t.Helper()
		if got := budget.Limit(account); got != want {
			t.Errorf("%s: %v calls per second, want %v", story, got, want)
		}
	}
	want("before the first call", 20)
	budget.Throttled("another", time.Second)
	want("another account is throttled", 20)
	budget.Throttled(account, time.Second)
	want("throttled", 10)
	clock.SetTime(clock.Now().Add(time.Second))
	budget.Throttled(account, time.Second)
	want("throttled again", 5)
	clock.SetTime(clock.Now().Add(31 * time.Second))
	want("recovering, though nobody calls", 10)
	clock.SetTime(clock.Now().Add(30 * time.Second))
	want("recovered", 20)
}

// Within any second no more than the rate and the burst go through, and everybody
// gets a turn who comes back when told to.
func TestBudgetUnderALoad(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(20, 5, clock)
	start := clock.Now()
	next := map[string]time.Time{}
	for i := range 200 {
		next[fmt.Sprint("key", i)] = start
	}
	var mu sync.Mutex
	perSecond := map[int]int{}
	for clock.Now().Before(start.Add(time.Minute)) && len(next) > 0 {
		var wg sync.WaitGroup
		due := slices.DeleteFunc(slices.Collect(maps.Keys(next)), func(key string) bool { return next[key].After(clock.Now()) })
		for _, key := range due {
			wg.Go(func() {
				wait := budget.Take(account, key)
				mu.Lock()
				defer mu.Unlock()
				if wait > 0 {
					next[key] = clock.Now().Add(wait)
					return
				}
				delete(next, key)
				perSecond[int(clock.Now().Sub(start)/time.Second)]++
			})
		}
		wg.Wait()
		clock.SetTime(clock.Now().Add(10 * time.Millisecond))
	}
	if len(next) != 0 || clock.Now().After(start.Add(11*time.Second)) {
		t.Errorf("%d still wait after %v", len(next), clock.Now().Sub(start))
	}
	for second, calls := range perSecond {
		if calls > 25 {
			t.Errorf("%d calls in second %d", calls, second)
		}
	}
}

func TestInFlight(t *testing.T) {
	const full = 250 * time.Millisecond
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(10, 10, clock)
	budget.LimitInFlight(2)
	take := func(story, account, key string, want time.Duration) {
		t.Helper()
		if got := budget.Take(account, key); got != want {
			t.Errorf("%s: %s waits %v, want %v", story, key, got, want)
		}
	}
	take("the first", "hanging", "a", 0)
	take("the second", "hanging", "b", 0)
	take("too many", "hanging", "c", full)
	take("still too many", "hanging", "c", full)
	take("another account is another matter", "swift", "d", 0)
	clock.SetTime(clock.Now().Add(10 * time.Minute))
	take("they hang for good", "hanging", "c", full)
	budget.Done("hanging")
	take("one has ended", "hanging", "c", 0)
	take("and one only", "hanging", "e", full)
	budget.Done("hanging")
	budget.Done("hanging")
	budget.Done("hanging")
	budget.Done("never heard of")
	take("more ends than beginnings", "hanging", "e", 0)
	take("change nothing", "hanging", "f", 0)
	take("of the bound", "hanging", "g", full)

	budget.Throttled("hanging", time.Second)
	take("a pause counts first", "hanging", "g", time.Second)
	clock.SetTime(clock.Now().Add(time.Second))
	take("then the bound", "hanging", "g", full)

	budget.LimitInFlight(0)
	take("without a bound", "hanging", "g", 0)
}

// Waiting for a call to end costs no tokens: whoever waits has one already.
func TestInFlightSpendsNoTokens(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	budget := sts.NewBudget(1, 3, clock)
	budget.LimitInFlight(1)
	budget.Take("x", "a")
	for range 50 {
		budget.Take("x", "b")
	}
	budget.Done("x")
	if wait := budget.Take("x", "b"); wait != 0 {
		t.Errorf("b waits %v", wait)
	}
	budget.Done("x")
	if wait := budget.Take("x", "c"); wait != 0 {
		t.Errorf("c waits %v", wait)
	}
}

func TestInFlightConcurrently(t *testing.T) {
	budget := sts.NewBudget(1e6, 1e6, clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	budget.LimitInFlight(3)
	var wg sync.WaitGroup
	var flying, most, calls atomic.Int32
	for worker := range 16 {
		wg.Go(func() {
			for range 200 {
				if budget.Take("x", fmt.Sprint(worker)) > 0 {
					continue
				}
				if now := flying.Add(1); now > most.Load() {
					most.Store(now)
				}
				calls.Add(1)
				runtime.Gosched()
				flying.Add(-1)
				budget.Done("x")
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || calls.Load() == 0 {
		t.Errorf("%d calls at a time, %d in all", most.Load(), calls.Load())
	}
}
