// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

// In any order of calls, the budget's totals are the sums of those of its accounts.
func TestTheTotalsOfTheBudgetAreSums(t *testing.T) {
	state := uint64(1)
	random := func(n uint64) uint64 { // the same each time
		state = state*6364136223846793005 + 1442695040888963407
		return (state >> 33) % n
	}
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	b := NewBudget(5, 8, clock)
	b.LimitInFlight(12)
	var underway []string
	for i := range 20000 {
		namespace := fmt.Sprint("n", random(5))
		account := []string{"1", "2", Unaccepted(namespace)}[random(3)]
		name := types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(random(10))}
		switch random(12) {
		case 0:
			b.Cancel(name)
		case 1:
			b.Throttled(account, time.Second)
		case 2:
			b.Admitted()
		case 3, 4, 5:
			clock.SetTime(clock.Now().Add(time.Duration(random(3000)) * time.Millisecond))
		case 6, 7:
			if len(underway) > 0 {
				b.Release(underway[0])
				underway = underway[1:]
			}
		case 8:
			if random(50) == 0 {
				clock.SetTime(clock.Now().Add(time.Minute))
			}
		default:
			claim := Claim{NamespacedName: name, First: random(2) == 0}
			if !claim.First {
				claim.Expires = clock.Now().Add(time.Hour)
			}
			if b.Acquire(account, claim) == 0 {
				underway = append(underway, account)
			}
		}
		if problem := b.wrongTotals(len(underway)); problem != "" {
			t.Fatalf("step %d: %s", i, problem)
		}
	}
}

// wrongTotals returns the totals that are not the sum of their parts.
func (b *Budget) wrongTotals(underway int) string {
	flying, inFlight, busy, reserved, called := 0, 0, 0, 0, 0
	for _, a := range b.accounts {
		flying += a.seats()
		inFlight += a.inFlight
		called += len(a.admitted)
		if a.group != nil {
			busy += a.seats()
			reserved += len(a.admitted)
		}
	}
	g := b.unaccepted
	switch {
	case flying != b.occupied || busy != g.occupied || reserved != g.reserved:
		return fmt.Sprintf("%d calls, of them %d unaccepted and %d reserved; counted %d, %d and %d", flying, busy, reserved, b.occupied, g.occupied, g.reserved)
	case inFlight != underway || flying > 12 || called > len(b.waiters):
		return fmt.Sprintf("%d of %d calls are under way, %d in all, %d were called of %d", inFlight, underway, flying, called, len(b.waiters))
	}
	return ""
}
