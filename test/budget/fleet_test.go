// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package budget

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

const account = "1234567890123456"

// credential is one of a fleet.
type credential struct {
	types.NamespacedName
	duration  time.Duration
	created   time.Time
	issues    int
	expires   time.Time // zero until the first issue
	renewAt   time.Time
	due       time.Time // since when it wants a call; zero while it does not
	waited    []time.Duration
	expired   int           // times
	expiredOf time.Duration // in all
}

// fleet is many credentials that share one budget.
type fleet struct {
	clock  *clocktesting.FakePassiveClock
	start  time.Time
	budget *ratelimit.Budget
	// claim is what a credential says when it asks for a call.
	claim func(*credential) ratelimit.Claim
	all   map[types.NamespacedName]*credential
	list  []*credential
	agenda
	// issued is called for each issuance.
	issued func(*credential)
}

// event is a look at a credential.
type event struct {
	at time.Time
	of *credential
}

// agenda is the events to come.
type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func newFleet(qps float64, burst int) *fleet {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(start)
	return &fleet{
		clock: clock, start: start, budget: ratelimit.NewBudget(qps, burst, clock), claim: earliestFirst,
		all: map[types.NamespacedName]*credential{}, issued: func(*credential) {},
	}
}

// earliestFirst is what the operator says.
func earliestFirst(c *credential) ratelimit.Claim {
	return ratelimit.Claim{NamespacedName: c.NamespacedName, Expires: c.expires, First: c.expires.IsZero()}
}

// firstCome hides from the budget what makes it prefer anybody: all are one namespace's first issues to it.
func firstCome(c *credential) ratelimit.Claim {
	return ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: "all", Name: c.Namespace + "." + c.Name}, First: true}
}

// add creates a credential, some time after the start.
func (f *fleet) add(namespace string, duration, after time.Duration) *credential {
	c := &credential{
		NamespacedName: types.NamespacedName{Namespace: namespace, Name: fmt.Sprint("c", len(f.list))},
		duration:       duration, created: f.start.Add(after),
	}
	f.list = append(f.list, c)
	f.all[f.claim(c).NamespacedName] = c
	c.due = c.created
	heap.Push(&f.agenda, event{c.created, c})
	return c
}

// run goes on for a while after the start.
func (f *fleet) run(span time.Duration) {
	for end := f.start.Add(span); f.clock.Now().Before(end); {
		now := f.clock.Now()
		for len(f.agenda) > 0 && !f.agenda[0].at.After(now) {
			if c := heap.Pop(&f.agenda).(event).of; !c.due.IsZero() || !now.Before(c.renewAt) {
				f.ask(c, now)
			}
		}
		names, next := f.budget.Admitted()
		for _, name := range names {
			f.ask(f.all[name], now)
		}
		if len(names) > 0 {
			continue
		}
		step := end.Sub(now)
		if next > 0 {
			step = min(step, next)
		}
		if len(f.agenda) > 0 {
			step = min(step, f.agenda[0].at.Sub(now))
		}
		f.clock.SetTime(now.Add(max(step, 0)))
	}
}

// ask is a pass: a call is made, or its turn is waited for.
func (f *fleet) ask(c *credential, now time.Time) {
	if c.due.IsZero() {
		c.due = now
	}
	if wait := f.budget.Acquire(account, f.claim(c)); wait > 0 {
		heap.Push(&f.agenda, event{now.Add(wait), c})
		return
	}
	c.settle(now)
	c.waited = append(c.waited, now.Sub(c.due))
	c.issues++
	c.expires, c.due = now.Add(c.duration), time.Time{}
	c.renewAt = renewAt(c, now)
	heap.Push(&f.agenda, event{c.renewAt, c})
	f.issued(c)
}

// settle counts the time past the expiry, if there is any.
func (c *credential) settle(now time.Time) {
	if !c.expires.IsZero() && now.After(c.expires) {
		c.expired++
		c.expiredOf += now.Sub(c.expires)
	}
}

// renewAt is when the operator renews what it has just issued.
func renewAt(c *credential, now time.Time) time.Time {
	return renewal.Decide(now, renewal.Facts{
		Duration: c.duration, Seed: uuid.NewSHA1(uuid.NameSpaceURL, []byte(c.String())).String(),
		Record: &credentials.Record{IssuedAt: now, ExpiresAt: c.expires, RequestID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(c.NamespacedName, c.issues))).String()},
	}).RenewAt
}

// demand is how many calls per second the renewals of some come to.
func (f *fleet) demand(of func(*credential) bool) (perSecond float64) {
	for _, c := range f.list {
		if of(c) {
			perSecond += 1 / (c.duration.Seconds() * (2.0/3 - 1.0/20)) // jitter takes half of a tenth on average
		}
	}
	return perSecond
}

// outcome is what became of some credentials.
type outcome struct {
	credentials, expired int
	expiredOf            time.Duration
	longest              time.Duration // wait for a renewal
	longestFirst         time.Duration // wait for the first issue
	never                int           // issued
}

func (f *fleet) outcome(of func(*credential) bool) (o outcome) {
	for _, c := range f.list {
		if !of(c) {
			continue
		}
		o.credentials++
		waits := c.waited
		if !c.due.IsZero() {
			waits = append(slices.Clone(waits), f.clock.Now().Sub(c.due))
			c.settle(f.clock.Now())
		}
		if c.issues == 0 {
			o.never++
		}
		if c.expired > 0 {
			o.expired++
			o.expiredOf += c.expiredOf
		}
		if len(waits) > 0 {
			o.longestFirst = max(o.longestFirst, waits[0])
			o.longest = max(o.longest, slices.Max(append(slices.Clone(waits[1:]), 0)))
		}
	}
	return o
}

func anybody(*credential) bool { return true }
