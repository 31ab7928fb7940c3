// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ratelimit limits how often things happen: calls to STS per account, and anything else per key.
package ratelimit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// slowestQPS is what a rate of nothing or less is taken for.
	slowestQPS = 0.1
	// lapse is how long whoever's turn has come may take to come, who waits may stay away after the time that it was
	// told, and an account without calls is remembered.
	lapse = 30 * time.Second
)

// Budget spreads the calls to STS, one token bucket per account. Nobody sleeps in
// it: whoever has to wait is told so and waits to be called. While the budget is
// short, the earliest expiry goes first; but a tenth of the calls is kept for first
// issues, and four tenths go to the namespaces in turn. Calls that no account has
// accepted yet share one more bucket (see Unaccepted). It is safe for concurrent use.
type Budget struct {
	qps     rate.Limit
	burst   int
	clock   clock.PassiveClock
	observe func(waited time.Duration)
	news    chan struct{}

	mu       sync.Mutex
	accounts map[string]*account
	waiters  map[types.NamespacedName]*waiter // who waits or was called, for whichever account
	toCall   []*waiter                        // who was called and does not know yet
	arrivals uint64
	swept    time.Time
	places   int // for calls under way, of all accounts; 0: any number
	flying   int // calls under way or about to be, of all accounts

	unaccepted *group // of the accounts that Unaccepted names
}

// NewBudget allows qps calls per second and account, and burst calls at once. Of
// Alibaba Cloud's own limit, 100 per second, other clusters want a share.
func NewBudget(qps float64, burst int, clock clock.PassiveClock) *Budget {
	limit, burst := rate.Limit(max(qps, slowestQPS)), max(burst, 1)
	return &Budget{
		qps: limit, burst: burst, clock: clock,
		observe: func(time.Duration) {}, news: make(chan struct{}, 1),
		accounts: map[string]*account{}, waiters: map[types.NamespacedName]*waiter{}, swept: clock.Now(),
		unaccepted: newGroup(limit, burst),
	}
}

// Observe has observe told of each call that is allowed, with how long it waited from the Take that first asked for its
// turn: 0 if it went at once. Calls that no account has accepted yet are left out: a namespace can want any number of
// them. Say it before the first Take.
func (b *Budget) Observe(observe func(waited time.Duration)) { b.observe = observe }

// Limit is how many calls per second the account may make now: after a throttling answer fewer than at first.
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

// Waiting is how many wait for their turn, whichever account's.
func (b *Budget) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiters)
}

// LimitInFlight lets all accounts together have n calls at a time, and each no more
// than it leaves free for the others: the first half of them, the next half of what is
// left then, and so on. It takes several accounts whose calls hang, six of 32 places,
// to occupy every worker. Calls that no account has accepted yet count as one account,
// within which the namespaces share in the same way. 0, as it is at first, means any
// number. Say it before the first Take; from then on each Take that gave 0 needs its Done.
func (b *Budget) LimitInFlight(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places = max(n, 0)
}

// full: the account has as many calls under way as it leaves free for the others.
func (b *Budget) full(a *account) bool {
	free := b.places - b.flying
	if a.group != nil {
		free = a.group.left(free)
	}
	return b.places > 0 && a.busy() >= free
}

// Take asks for one call. 0 means: go ahead, the token is spent; tell Done when the
// call has ended. Otherwise the claim waits, and Turns will name it when its turn has
// come; a Take within half a minute after that gets 0. wait is about how long that
// takes if nobody comes before it: after that, ask again in any case, or it is given
// up. Who wants no call any more says so with Leave.
func (b *Budget) Acquire(account string, claim Claim) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.sweep(now)
	a := b.account(account)
	a.used = now
	w := b.enter(a, claim, now)
	b.call(a, now, w)
	if w.called {
		delete(b.waiters, w.NamespacedName)
		a.take(w, now, b.places > 0)
		if a.group == nil {
			b.observe(now.Sub(w.since))
		}
		return 0
	}
	wait = a.until(a.waiting.waiting, now)
	if a.group != nil {
		wait = max(wait, a.group.until(a.group.ahead(a.waiting.waiting), now))
	}
	if b.full(a) {
		wait = max(wait, crowded)
	}
	w.back = now.Add(wait + lapse)
	if a.waiting.waiting == 1 { // else Turns has a time to look again
		b.tell()
	}
	return wait
}

// Leave gives up what name waits for, if it does.
func (b *Budget) Cancel(name types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := b.waiters[name]; ok {
		b.drop(w)
		b.callAll(b.clock.Now())
	}
}

// Done says that a call which Take allowed has ended, however it did.
func (b *Budget) Release(account string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := b.accounts[account]; ok && a.inFlight > 0 {
		now := b.clock.Now()
		a.done()
		a.used = now
		b.callAll(now)
	}
}

// Spend counts a call that waits for nobody: the operator's own GetCallerIdentity, which a backoff bounds.
func (b *Budget) Spend(account string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	a := b.account(account)
	a.used = now
	a.recover(now)
	a.spend(now)
}

// Throttled tells of a throttling answer: nobody of account calls for retryAfter
// (1 s if it is 0 or less, at most a minute), and the rate is halved. Then it grows
// back steadily, over a minute for each half.
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
	b.tell()
}

// Turns names those whose turn has come since it was asked last, and says when to
// ask next: earlier, when News says so; 0 means not before that.
func (b *Budget) Admitted() (names []types.NamespacedName, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.sweep(now)
	b.callAll(now)
	for _, a := range b.accounts {
		if wait := b.untilCall(a, now); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	for _, w := range b.toCall {
		if w.called && b.waiters[w.NamespacedName] == w {
			names = append(names, w.NamespacedName)
		}
	}
	b.toCall = nil
	return names, next
}

// News tells that Turns has something to say earlier than it said.
func (b *Budget) Notify() <-chan struct{} { return b.news }

func (b *Budget) tell() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// callAll lets each account call those whose turn has come: what one gives up, another may have.
func (b *Budget) callAll(now time.Time) {
	for _, a := range b.accounts {
		if a.group == nil {
			b.call(a, now, nil)
		}
	}
	b.called(b.unaccepted.call(now, b.full), nil)
}

// call lets the account call those whose turn has come, and keeps in mind to tell them, but for who is here.
func (b *Budget) call(a *account, now time.Time, here *waiter) {
	if a.group != nil {
		b.called(a.group.call(now, b.full), here)
		return
	}
	b.called(a.call(now, b.full), here)
}

// called keeps in mind to tell those who were called, but for who is here.
func (b *Budget) called(waiters []*waiter, here *waiter) {
	for _, w := range waiters {
		if w != here {
			b.toCall = append(b.toCall, w)
			b.tell()
		}
	}
}

// untilCall is when somebody may be called next; 0 if nobody waits. A call that ends, or a claim that is given up, may
// bring it forward.
func (b *Budget) untilCall(a *account, now time.Time) time.Duration {
	switch {
	case a.waiting.waiting == 0:
		return 0
	case b.full(a):
		return lapse
	case a.group != nil:
		return max(a.until(1, now), a.group.until(1, now))
	}
	return a.until(1, now)
}

// enter lets the claim wait for a, if it does not yet.
func (b *Budget) enter(a *account, claim Claim, now time.Time) *waiter {
	w, ok := b.waiters[claim.NamespacedName]
	switch {
	case ok && w.account == a && w.called && !now.After(w.lapses):
		return w
	case ok && w.account == a && !w.called:
		a.waiting.remove(w)
	default:
		if ok {
			b.drop(w)
			b.callAll(now) // what it does not want any more, another may have
		}
		b.arrivals++
		w = &waiter{account: a, arrival: b.arrivals, since: now}
		b.waiters[claim.NamespacedName] = w
	}
	w.Claim = claim
	a.waiting.push(w)
	return w
}

// drop forgets a claim.
func (b *Budget) drop(w *waiter) {
	delete(b.waiters, w.NamespacedName)
	if w.called {
		w.account.release(w)
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

// sweep forgets, now and then, the claims that nobody came back for and the
// accounts that are as good as new.
func (b *Budget) sweep(now time.Time) {
	if now.Sub(b.swept) < lapse {
		return
	}
	b.swept = now
	for _, w := range b.waiters {
		if now.After(w.back) && now.After(w.lapses) {
			b.drop(w)
		}
	}
	for name, a := range b.accounts {
		if a.idle(now) {
			b.forget(name, a)
		}
	}
}
