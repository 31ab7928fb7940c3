// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package budget

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// orders are those that are compared.
var orders = []struct {
	name  string
	claim func(*credential) ratelimit.Claim
}{
	{"the operator's", earliestFirst},
	{"first come, first served", firstCome},
	{"earliest expiry alone", func(c *credential) ratelimit.Claim {
		claim := earliestFirst(c)
		claim.NamespacedName = types.NamespacedName{Namespace: "all", Name: c.Namespace + "." + c.Name}
		return claim
	}},
}

// mixedLifetimes are 2,000 credentials that are created within a minute, as when a cluster is restored; the budget is
// so many times what their renewals come to.
func mixedLifetimes(times float64, claim func(*credential) ratelimit.Claim) *fleet {
	lifetimes := []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour}
	fill := func(f *fleet) *fleet {
		f.claim = claim
		for i := range 2000 {
			f.add(fmt.Sprint("shop-", i%20), lifetimes[i/20%len(lifetimes)], time.Duration(i)*30*time.Millisecond)
		}
		return f
	}
	f := fill(newFleet(times*fill(newFleet(1, 1)).demand(anybody), 1))
	f.run(24 * time.Hour)
	return f
}

// With a budget that just suffices nothing expires. First come, first served would have let some.
func TestNothingExpiresWithABudgetThatJustSuffices(t *testing.T) {
	ours, theirs := suffices()[0].outcome(anybody), suffices()[1].outcome(anybody)
	if ours.expired > 0 || ours.never > 0 {
		t.Errorf("%d expired, %d were never issued", ours.expired, ours.never)
	}
	if theirs.expired == 0 {
		t.Error("nothing expires in the order of their coming either: the simulation shows nothing")
	}
}

// hogging is a namespace with 10,000 credentials of 15 minutes, which want nearly twice the budget, beside 50 namespaces
// with 20 of an hour each, and half an hour later another one in each of these.
func hogging(claim func(*credential) ratelimit.Claim) *fleet {
	f := newFleet(10, 10)
	f.claim = claim
	for i := range 1000 {
		f.add(fmt.Sprint("quiet-", i%50), time.Hour, 0)
	}
	for range 10000 {
		f.add("hog", 15*time.Minute, time.Minute)
	}
	for i := range 50 {
		f.add(fmt.Sprint("quiet-", i%50), time.Hour, half+time.Duration(i)*time.Second)
	}
	f.run(2 * time.Hour)
	return f
}

// half is when the later ones are created.
const half = 30 * time.Minute

func ofTheHog(c *credential) bool           { return c.Namespace == "hog" }
func ofOthers(c *credential) bool           { return c.Namespace != "hog" }
func (f *fleet) ofLater(c *credential) bool { return !c.created.Before(f.start.Add(half)) }

// A namespace that wants more than there is harms nobody but itself: others' renewals are in time, and their new ones are
// issued.
func TestNoNamespaceStarvesTheOthers(t *testing.T) {
	f := hogged()[0]
	others, later, hog := f.outcome(ofOthers), f.outcome(f.ofLater), f.outcome(ofTheHog)
	if others.expired > 0 || others.longest > 5*time.Minute {
		t.Errorf("of the others %d expired, and a renewal waited %v", others.expired, others.longest)
	}
	if later.never > 0 || later.longestFirst > 5*time.Minute {
		t.Errorf("of the new ones of others %d were not issued, and one waited %v", later.never, later.longestFirst)
	}
	if hog.never > 0 {
		t.Errorf("%d of its own were never issued", hog.never)
	}
	if hog.expired == 0 {
		t.Error("the namespace has all that it wants: the simulation shows nothing")
	}
	if alone := hogged()[2].outcome(ofOthers); alone.expired == 0 {
		t.Error("the earliest expiry alone would do: the simulation shows nothing")
	}
}

// What several tests look at runs once: with budgets that just suffice and up to twice as large, and with the hog, in each
// of the orders.
var (
	suffices = sync.OnceValue(func() []*fleet {
		return []*fleet{mixedLifetimes(1, orders[0].claim), mixedLifetimes(1, orders[1].claim)}
	})
	hogged = sync.OnceValue(func() (all []*fleet) {
		for _, order := range orders {
			all = append(all, hogging(order.claim))
		}
		return all
	})
)
