// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

func TestInFlight(t *testing.T) {
	const full = 15 * time.Second
	e := newEnvironment(t, 10, 10)
	e.LimitInFlight(4)
	take := func(story, account, name string, want time.Duration) {
		t.Helper()
		e.wantAcquire(story, account, named(name), want)
	}
	take("the first", "hanging", "a", 0)
	take("the second", "hanging", "b", 0)
	take("too many", "hanging", "c", full)
	take("still too many", "hanging", "c", full)
	take("another account is another matter", "swift", "d", 0)
	e.step(10 * time.Minute)
	take("they hang for good", "hanging", "c", full)
	take("and the next one", "hanging", "e", full)
	e.Release("hanging")
	e.wantAdmitted("one has ended", 30*time.Second, "c")
	take("its place is not another's", "hanging", "e", full)
	take("the admitted claim", "hanging", "c", 0)
	e.Release("hanging")
	e.Release("hanging")
	e.Release("hanging")
	e.Release("never heard of")
	take("more ends than beginnings", "hanging", "e", 0)
	take("change nothing", "hanging", "f", 0)
	take("of the bound", "hanging", "g", full)

	e.Throttled("hanging", 20*time.Second)
	take("a longer pause counts first", "hanging", "g", 20*time.Second)
	e.step(20 * time.Second)
	take("then the bound", "hanging", "g", full)

	e.LimitInFlight(0)
	take("without a bound", "hanging", "g", 0)
}

// Whoever hangs takes no more places than it leaves; when calls end, they are everybody's.
func TestInFlightLeavesSeatsFree(t *testing.T) {
	e := newEnvironment(t, 100, 100)
	e.LimitInFlight(12)
	hang := func(account string) (n int) {
		for e.Acquire(account, named(fmt.Sprint(account, n))) == 0 {
			n++
		}
		return n
	}
	if got := [4]int{hang("a"), hang("b"), hang("c"), hang("d")}; got != [4]int{6, 3, 2, 1} {
		t.Errorf("they have %v calls under way", got)
	}
	for account, calls := range map[string]int{"a": 6, "b": 3, "c": 2, "d": 1} {
		for range calls {
			e.Release(account)
		}
	}
	if names, _ := e.Admitted(); len(names) != 4 {
		t.Errorf("%v are admitted, want one of each", names)
	}
}

func TestInFlightIsUsedUpBySeveral(t *testing.T) {
	e := newEnvironment(t, 100, 100)
	e.LimitInFlight(32)
	accounts, calls := 0, 0
	for ; calls < 32 && accounts < 32; accounts++ {
		for e.Acquire(fmt.Sprint(accounts), named(fmt.Sprint(calls))) == 0 {
			calls++
		}
	}
	if accounts != 6 || calls != 32 {
		t.Errorf("%d accounts have %d calls under way, want 6 that have all 32", accounts, calls)
	}
}

// Waiting for a call to end costs no tokens.
func TestInFlightSpendsNoTokens(t *testing.T) {
	e := newEnvironment(t, 1, 3)
	e.LimitInFlight(1)
	e.Acquire("x", named("a"))
	for range 50 {
		e.Acquire("x", named("b"))
	}
	e.Release("x")
	e.wantAcquire("the first", "x", named("b"), 0)
	e.Release("x")
	e.wantAcquire("the second", "x", named("c"), 0)
}

func TestInFlightConcurrently(t *testing.T) {
	budget := ratelimit.NewBudget(1e6, 1e6, clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	budget.LimitInFlight(6)
	var wg sync.WaitGroup
	var flying, most, calls atomic.Int32
	for worker := range 16 {
		wg.Go(func() {
			for range 200 {
				if budget.Acquire("x", named(fmt.Sprint(worker))) > 0 {
					continue
				}
				if now := flying.Add(1); now > most.Load() {
					most.Store(now)
				}
				calls.Add(1)
				runtime.Gosched()
				flying.Add(-1)
				budget.Release("x")
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || calls.Load() == 0 {
		t.Errorf("%d calls at a time, %d in all", most.Load(), calls.Load())
	}
}

// No state is left of claims that were canceled, served, or not repeated.
func TestIdleStateIsDropped(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	for i := range 3000 {
		e.Acquire(fmt.Sprint("account", i%50), named(fmt.Sprint(i)))
	}
	for i := range 1000 {
		e.Cancel(named(fmt.Sprint(i)).NamespacedName)
	}
	if n := e.Waiting(); n != 2000 {
		t.Errorf("%d wait", n)
	}
	for range 60 {
		e.step(5 * time.Second)
		e.Admitted()
	}
	if n := e.Waiting(); n != 0 {
		t.Errorf("%d wait though they stayed away for five minutes", n)
	}
}

// Within any second no more than the rate and the burst go through, and everybody
// gets a turn who comes back when called.
func TestBudgetUnderALoad(t *testing.T) {
	e := newEnvironment(t, 20, 5)
	start := e.clock.Now()
	due := map[types.NamespacedName]ratelimit.Claim{}
	for i := range 200 {
		claim := named(fmt.Sprint("key", i))
		due[claim.NamespacedName] = claim
	}
	all := maps.Clone(due)
	var mu sync.Mutex
	done, perSecond := 0, map[int]int{}
	for e.clock.Now().Before(start.Add(time.Minute)) && done < len(all) {
		var wg sync.WaitGroup
		for _, claim := range due {
			wg.Go(func() {
				if e.Acquire(account, claim) == 0 {
					mu.Lock()
					defer mu.Unlock()
					done++
					perSecond[int(e.clock.Now().Sub(start)/time.Second)]++
				}
			})
		}
		wg.Wait()
		e.step(10 * time.Millisecond)
		due = map[types.NamespacedName]ratelimit.Claim{}
		names, _ := e.Admitted()
		for _, name := range names {
			due[name] = all[name]
		}
	}
	if done < len(all) || e.clock.Now().After(start.Add(11*time.Second)) {
		t.Errorf("%d of %d after %v", done, len(all), e.clock.Now().Sub(start))
	}
	for second, calls := range perSecond {
		if calls > 25 {
			t.Errorf("%d calls in second %d", calls, second)
		}
	}
}
