// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ratelimit limits rates: the calls to STS per account, with fair queueing, and events per key.
package ratelimit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// slowestQPS replaces a rate of 0 or less.
	slowestQPS = 0.1
	// reservationTTL is how long an admitted claim keeps its token, how long after its wait a claim is kept that is not
	// repeated, and how long an account without calls is kept.
	reservationTTL = 30 * time.Second
)

// Budget limits the calls to STS, with one token bucket per account. It never blocks: Acquire returns how long to wait, and
// Admitted returns the claims that are admitted. While claims wait, the earliest expiration is admitted first, but a tenth of
// the calls is reserved for first issuances, and four tenths go to the namespaces round robin. Calls that no account has accepted
// yet share one more bucket (see Unaccepted). It is safe for concurrent use.
type Budget struct {
	qps     rate.Limit
	burst   int
	clock   clock.PassiveClock
	observe func(waited time.Duration)
	notify  chan struct{}

	mu       sync.Mutex
	accounts map[string]*account
	waiters  map[types.NamespacedName]*waiter // waiting or admitted, of all accounts
	admitted []*waiter                        // that Admitted has not returned yet
	arrivals uint64
	swept    time.Time
	seats    int // maximum number of calls in flight, of all accounts; 0: no limit
	occupied int // seats of calls in flight and of admitted claims, of all accounts

	unaccepted *group // of the accounts whose key is from Unaccepted
}

// NewBudget returns a budget of qps calls per second and account, with a burst. All clusters share Alibaba Cloud's own quota
// of 100 calls per second.
func NewBudget(qps float64, burst int, clock clock.PassiveClock) *Budget {
	limit, burst := rate.Limit(max(qps, slowestQPS)), max(burst, 1)
	return &Budget{
		qps: limit, burst: burst, clock: clock,
		observe: func(time.Duration) {}, notify: make(chan struct{}, 1),
		accounts: map[string]*account{}, waiters: map[types.NamespacedName]*waiter{}, swept: clock.Now(),
		unaccepted: newGroup(limit, burst),
	}
}

// Observe sets a function that is called for each call that Acquire allows, with its wait since the first Acquire of the
// claim. Calls that no account has accepted yet are not observed, because a namespace can cause any number of them. It must be
// called before the first Acquire.
func (b *Budget) Observe(observe func(waited time.Duration)) { b.observe = observe }

// Limit returns the current rate limit of the account, in calls per second; after throttling it is lower for a while.
func (b *Budget) Limit(account string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.accounts[account]
	if !ok {
		return float64(b.qps)
	}
	a.recover(b.clock.Now())
	return float64(a.limiter.Limit())
}

// Waiting returns the number of claims that wait, of all accounts.
func (b *Budget) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiters)
}

// LimitInFlight limits the calls in flight of all accounts to n seats. An account occupies no more seats than it leaves free:
// the first half of them, the next half of the rest, and so on. So several accounts must hang to occupy all seats: six for 32.
// Calls that no account has accepted yet count as one account, in which the namespaces share in the same way. 0, the default,
// means no limit. It must be called before the first Acquire; from then on, each Acquire that returned 0 needs a Release.
func (b *Budget) LimitInFlight(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seats = max(n, 0)
}

// Acquire acquires a call. If it returns 0, the call is allowed and its token is spent; call Release when the call has ended.
// Otherwise the claim waits, and Admitted returns it when it is admitted: an Acquire within 30 s after that returns 0. wait is
// the estimated time until then. Call Acquire again after wait in any case, or the claim is dropped; call Cancel when the call
// is no longer needed.
func (b *Budget) Acquire(account string, claim Claim) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.sweep(now)
	a := b.account(account)
	a.used = now
	w := b.enqueue(a, claim, now)
	b.admit(a, now, w)
	if w.admitted {
		delete(b.waiters, w.NamespacedName)
		a.take(w, now, b.seats > 0)
		if a.group == nil {
			b.observe(now.Sub(w.since))
		}
		return 0
	}
	wait = a.until(a.waiting.waiting, now)
	if a.group != nil {
		wait = max(wait, a.group.until(a.group.ahead(a.waiting.waiting), now))
	}
	if a.saturated() {
		wait = max(wait, saturatedWait)
	}
	w.dropAt = now.Add(wait + reservationTTL)
	if a.waiting.waiting == 1 { // else Admitted has returned when to call it again
		b.signal()
	}
	return wait
}

// Cancel drops the claim of name, if there is one.
func (b *Budget) Cancel(name types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := b.waiters[name]; ok {
		b.drop(w)
		b.admitAll(b.clock.Now())
	}
}

// Release reports that a call that Acquire allowed has ended.
func (b *Budget) Release(account string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := b.accounts[account]; ok && a.inFlight > 0 {
		now := b.clock.Now()
		a.done()
		a.used = now
		b.admitAll(now)
	}
}

// Spend counts a call that was made without Acquire: one of the operator's own identity, which a backoff bounds.
func (b *Budget) Spend(account string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	a := b.account(account)
	a.used = now
	a.recover(now)
	a.spend(now)
}

// Throttled reports a throttling response: the account makes no calls for retryAfter (1 s if it is 0 or less, at most a
// minute), and its rate is halved. Then the rate grows back steadily, over a minute for each half.
func (b *Budget) Throttled(account string, retryAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if retryAfter <= 0 {
		retryAfter = defaultPause
	}
	a := b.account(account)
	a.used = now
	a.throttle(now, min(retryAfter, maxPause))
	b.signal()
}

// Admitted returns the claims that were admitted since its last call, and when to call it next. Call it earlier when Notify
// receives; next is 0 if only Notify matters.
func (b *Budget) Admitted() (names []types.NamespacedName, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.sweep(now)
	b.admitAll(now)
	for _, a := range b.accounts {
		if wait := b.nextAdmission(a, now); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	for _, w := range b.admitted {
		if w.admitted && b.waiters[w.NamespacedName] == w {
			names = append(names, w.NamespacedName)
		}
	}
	b.admitted = nil
	return names, next
}

// Notify returns a channel that receives when Admitted must be called earlier than it returned.
func (b *Budget) Notify() <-chan struct{} { return b.notify }

func (b *Budget) signal() {
	select {
	case b.notify <- struct{}{}:
	default:
	}
}

// admitAll admits claims of all accounts.
func (b *Budget) admitAll(now time.Time) {
	for _, a := range b.accounts {
		if a.group == nil {
			b.admit(a, now, nil)
		}
	}
	b.queueAdmitted(b.unaccepted.admit(now), nil)
}

// admit admits claims of the account. Admitted returns them, except current, whose Acquire is running.
func (b *Budget) admit(a *account, now time.Time, current *waiter) {
	if a.group != nil {
		b.queueAdmitted(a.group.admit(now), current)
		return
	}
	b.queueAdmitted(a.admit(now), current)
}

// queueAdmitted queues claims for Admitted, except current.
func (b *Budget) queueAdmitted(waiters []*waiter, current *waiter) {
	for _, w := range waiters {
		if w != current {
			b.admitted = append(b.admitted, w)
			b.signal()
		}
	}
}

// nextAdmission returns when the next claim can be admitted; 0 if none waits. A call that ends or a dropped claim can make it
// earlier.
func (b *Budget) nextAdmission(a *account, now time.Time) time.Duration {
	switch {
	case a.waiting.waiting == 0:
		return 0
	case a.saturated():
		return reservationTTL
	case a.group != nil:
		return max(a.until(1, now), a.group.until(1, now))
	}
	return a.until(1, now)
}

// enqueue adds the claim to the queue of a, unless it is there already.
func (b *Budget) enqueue(a *account, claim Claim, now time.Time) *waiter {
	w, ok := b.waiters[claim.NamespacedName]
	switch {
	case ok && w.account == a && w.admitted && !now.After(w.reservedUntil):
		return w
	case ok && w.account == a && !w.admitted:
		a.waiting.remove(w)
	default:
		if ok {
			b.drop(w)
			b.admitAll(now) // another claim can have its token
		}
		b.arrivals++
		w = &waiter{account: a, arrival: b.arrivals, since: now}
		b.waiters[claim.NamespacedName] = w
	}
	w.Claim = claim
	a.waiting.push(w)
	return w
}

// drop drops a claim.
func (b *Budget) drop(w *waiter) {
	delete(b.waiters, w.NamespacedName)
	if w.admitted {
		w.account.unreserve(w)
		return
	}
	w.account.waiting.remove(w)
}

func (b *Budget) account(name string) *account {
	a, ok := b.accounts[name]
	if !ok {
		a = b.newAccount(name)
		b.accounts[name] = a
	}
	return a
}

// sweep drops, from time to time, claims that were not repeated in time and accounts in their initial state.
func (b *Budget) sweep(now time.Time) {
	if now.Sub(b.swept) < reservationTTL {
		return
	}
	b.swept = now
	for _, w := range b.waiters {
		if now.After(w.dropAt) && now.After(w.reservedUntil) {
			b.drop(w)
		}
	}
	for name, a := range b.accounts {
		if a.idle(now) {
			b.forget(name, a)
		}
	}
}
