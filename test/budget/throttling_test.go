// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package budget

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// throttled is an hour in which an account allows fewer calls per second than the budget, and a quarter of one in which it
// allows more; there are always calls to make.
type throttled struct {
	allowed, refused int           // calls, in the hour
	lowest           float64       // limit, in the hour
	recovered        time.Duration // until the limit is the full one again
}

func throttledAccount(qps, allows float64) (o throttled) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(start)
	budget := ratelimit.NewBudget(qps, 20, clock)
	account := rate.NewLimiter(rate.Limit(allows), int(allows))
	o.lowest = qps
	for i := range 100 {
		budget.Acquire("x", ratelimit.Claim{NamespacedName: types.NamespacedName{Name: fmt.Sprint(i)}})
	}
	for clock.Now().Before(start.Add(time.Hour)) {
		names, next := budget.Admitted()
		for _, name := range names {
			switch {
			case budget.Acquire("x", ratelimit.Claim{NamespacedName: name}) > 0:
				continue
			case account.AllowN(clock.Now(), 1):
				o.allowed++
			default:
				o.refused++
				budget.Throttled("x", time.Second)
			}
			budget.Acquire("x", ratelimit.Claim{NamespacedName: name}) // the next credential, as it were
		}
		o.lowest = min(o.lowest, budget.Limit("x"))
		clock.SetTime(clock.Now().Add(max(next, time.Millisecond)))
	}
	for ended := clock.Now(); budget.Limit("x") < qps; o.recovered = clock.Now().Sub(ended) {
		clock.SetTime(clock.Now().Add(time.Second))
	}
	return o
}

// share is that of the calls that were refused.
func (o throttled) share() float64 { return float64(o.refused) / float64(o.allowed+o.refused) }

// accounts allow so many calls per second.
var accounts = []float64{10, 5, 2}

// An account that allows less than the budget is used well all the same, and is not hammered: seldom asked in vain, and
// never more often than once in some seconds.
func TestAThrottledAccountIsNotHammered(t *testing.T) {
	for _, allows := range accounts {
		o := throttledAccount(20, allows)
		t.Logf("%v/s allowed: %+v", allows, o)
		if o.share() > 0.1 || o.refused > 3600/5 {
			t.Errorf("%v/s allowed: %d calls of %d were refused in an hour", allows, o.refused, o.allowed+o.refused)
		}
		if float64(o.allowed) < 0.8*allows*3600 {
			t.Errorf("%v/s allowed: %d were made in an hour", allows, o.allowed)
		}
		if o.recovered > 2*time.Minute {
			t.Errorf("%v/s allowed: the full rate is back after %v", allows, o.recovered)
		}
	}
}
