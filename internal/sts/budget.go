// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// defaultPause and maxPause bound how long a throttling answer stops an account.
	defaultPause = time.Second
	maxPause     = time.Minute
	// recovery is how long a slowed account goes on before its rate doubles.
	recovery = 30 * time.Second
	// slowest is the part of the full rate that throttling never goes below.
	slowest = 1.0 / 16
	// slowestQPS is what a rate of nothing or less is taken for.
	slowestQPS = 0.1
	// crowded is how long to stay away from an account with as many calls in flight
	// as it may have: short beside a call that hangs, long beside one that does not.
	crowded = 250 * time.Millisecond
	// lapse is how long after its time a place waits to be claimed, and how long
	// an account without calls is remembered.
	lapse = time.Minute
)

// Budget spreads the calls to STS, one token bucket per account. Nobody sleeps in
// it: whoever has to wait is told for how long, and comes back. It is safe for
// concurrent use.
type Budget struct {
	qps     rate.Limit
	burst   int
	clock   clock.PassiveClock
	observe func(waited time.Duration)

	mu       sync.Mutex
	accounts map[string]*account
	swept    time.Time
	inFlight int // the bound per account; 0: none
}

// NewBudget allows qps calls per second and account, and burst calls at once. Of
// Alibaba Cloud's own limit, 100 per second, other clusters want a share.
func NewBudget(qps float64, burst int, clock clock.PassiveClock) *Budget {
	return &Budget{
		qps: rate.Limit(max(qps, slowestQPS)), burst: max(burst, 1), clock: clock,
		observe: func(time.Duration) {}, accounts: map[string]*account{}, swept: clock.Now(),
	}
}

// Observe has observe told of each call that is allowed, with how long it waited from the Take that first asked for its
// turn: 0 if it went at once. Say it before the first Take.
func (b *Budget) Observe(observe func(waited time.Duration)) { b.observe = observe }

// Limit is how many calls per second the account may make now: after a throttling answer fewer than at first.
func (b *Budget) Limit(account string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.accounts[account]
	if !ok {
		return float64(b.qps)
	}
	b.recover(a, b.clock.Now())
	return float64(a.limiter.Limit())
}

// LimitInFlight lets each account have n calls at a time: an account whose calls
// hang cannot then occupy every worker. 0, as it is at first, means any number. Say
// it before the first Take; from then on each Take that gave 0 needs its Done.
func (b *Budget) LimitInFlight(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight = max(n, 0)
}

// Done says that a call which Take allowed has ended, however it did.
func (b *Budget) Done(account string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := b.accounts[account]; ok && a.inFlight > 0 {
		a.inFlight--
		a.used = b.clock.Now()
	}
}

// Take asks for one call in the name of key, such as namespace/name. 0 means: go
// ahead, the token is spent; tell Done when the call has ended. Otherwise come back
// after wait: a place is kept for key until a minute after that, and a Take that
// comes for it then gets 0, unless the account was throttled meanwhile or has too
// many calls in flight.
func (b *Budget) Take(account, key string) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.sweep(now)
	a := b.account(account)
	a.used = now
	b.recover(a, now)
	p, waiting := a.places[key]
	if !waiting || now.Sub(p.at) > lapse {
		p = place{at: a.slot(now), since: now}
	}
	if p.at.After(now) {
		a.enqueue(key, p)
		return p.at.Sub(now)
	}
	if b.inFlight > 0 {
		if a.inFlight >= b.inFlight {
			a.enqueue(key, p)
			return crowded
		}
		a.inFlight++
	}
	delete(a.places, key)
	b.observe(now.Sub(p.since))
	return 0
}

// Throttled tells of a throttling answer: nobody of account calls for retryAfter
// (1 s if it is 0 or less, at most a minute), whoever waits keeps its turn, and
// the rate is halved and recovers over the next minutes.
func (b *Budget) Throttled(account string, retryAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if retryAfter <= 0 {
		retryAfter = defaultPause
	}
	a := b.account(account)
	a.used = now
	limit := a.limiter.Limit()
	if !now.Before(a.pausedUntil) { // else it is the same wave, met by another worker
		limit = max(limit/2, b.qps*slowest)
	}
	if until := now.Add(min(retryAfter, maxPause)); until.After(a.pausedUntil) {
		a.pausedUntil = until
	}
	a.recoverAt = a.pausedUntil.Add(recovery)
	a.pace(limit, 1, now) // no burst right after the pause
}

// recover lets a slowed account have its rate back, step by step.
func (b *Budget) recover(a *account, now time.Time) {
	for a.limiter.Limit() < b.qps && !now.Before(a.recoverAt) {
		limit, burst := a.limiter.Limit()*2, 1
		if limit >= b.qps {
			limit, burst = b.qps, b.burst
		}
		a.recoverAt = a.recoverAt.Add(recovery)
		a.pace(limit, burst, now)
	}
}

func (b *Budget) account(name string) *account {
	a, ok := b.accounts[name]
	if !ok {
		a = &account{limiter: rate.NewLimiter(b.qps, b.burst), places: map[string]place{}}
		b.accounts[name] = a
	}
	return a
}

// sweep forgets, about once a minute, the places that nobody came for and the
// accounts that are as good as new.
func (b *Budget) sweep(now time.Time) {
	if now.Sub(b.swept) < lapse {
		return
	}
	b.swept = now
	for name, a := range b.accounts {
		maps.DeleteFunc(a.places, func(_ string, p place) bool { return now.Sub(p.at) > lapse })
		b.recover(a, now)
		idle := now.Sub(a.used) > lapse && len(a.places) == 0 && a.inFlight == 0
		if idle && a.limiter.Limit() == b.qps && a.limiter.TokensAt(now) >= float64(b.burst) {
			delete(b.accounts, name)
		}
	}
}

// account is one account's bucket and those who wait for it.
type account struct {
	limiter     *rate.Limiter
	pausedUntil time.Time
	recoverAt   time.Time // when a slowed rate doubles
	used        time.Time
	inFlight    int              // counted only while there is a bound
	places      map[string]place // of those who wait, by their keys
}

// place is a turn that is kept; the token for it is already taken from the limiter.
type place struct {
	at    time.Time // the time of the turn
	since time.Time // when it was first asked for
}

// slot takes the next token and says when it is there.
func (a *account) slot(now time.Time) time.Time {
	from := now
	if from.Before(a.pausedUntil) {
		from = a.pausedUntil
	}
	return from.Add(a.limiter.ReserveN(from, 1).DelayFrom(from))
}

// enqueue gives key that place. Here, and nowhere else, it is decided who of those
// waiting goes first: first come, first served.
func (a *account) enqueue(key string, p place) { a.places[key] = p }

// pace changes the rate, and gives those whose turn has not come yet new turns in
// the order of the old ones. A rate that rises only brings turns forward.
func (a *account) pace(limit rate.Limit, burst int, now time.Time) {
	a.limiter = rate.NewLimiter(limit, burst)
	waiting := slices.SortedFunc(maps.Keys(a.places), func(x, y string) int {
		return cmp.Or(a.places[x].at.Compare(a.places[y].at), cmp.Compare(x, y))
	})
	for _, key := range waiting {
		if p := a.places[key]; p.at.After(now) || now.Before(a.pausedUntil) {
			a.enqueue(key, place{at: a.slot(now), since: p.since})
		}
	}
}
