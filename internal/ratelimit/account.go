// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"math"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// defaultPause and maxPause bound how long a throttling answer stops an account.
	defaultPause = time.Second
	maxPause     = time.Minute
	// A throttling answer cuts the rate to a half, and never below a sixteenth of the full one. From the end of the
	// pause on it grows by the same step each raiseEvery, so that a half has grown back after a minute.
	cut        = 0.5
	slowest    = 1.0 / 16
	raise      = 1.0 / 120
	raiseEvery = time.Second
	// enough is what counts as a whole: sums of parts fall short by roundings.
	enough = 1 - 1e-6
	// atOnce is the least wait.
	atOnce = time.Millisecond
	// crowded is how long to stay away at least from an account with as many calls in flight as it may have: the end
	// of one is told, so that many who wait need not come and ask, again and again.
	crowded = 15 * time.Second
)

// account is one account's bucket, those who wait for it, and those whose turn has come: a token is theirs until they
// come for it.
type account struct {
	limiter     *rate.Limiter
	qps         rate.Limit // while it is not slowed
	burst       int
	pausedUntil time.Time
	raiseAt     time.Time // when a slowed rate grows
	used        time.Time
	inFlight    int // counted only while there is a bound
	waiting     *queue
	called      map[types.NamespacedName]*waiter
	flying      *int   // calls of all accounts that are under way or about to be
	group       *group // that it shares a limit with; nil if none
	turn        uint64 // its last in the group
}

func newAccount(qps rate.Limit, burst int) *account {
	return &account{qps: qps, burst: burst, limiter: rate.NewLimiter(qps, burst), waiting: newQueue(), called: map[types.NamespacedName]*waiter{}}
}

// call calls those whose turn has come: as many as there are tokens that are nobody's, and places for calls in flight.
func (a *account) call(now time.Time, full func(*account) bool) (called []*waiter) {
	for a.expire(now); a.ready(now, full); {
		called = append(called, a.callNext(now))
	}
	return called
}

// expire takes the token back from those who did not come in time.
func (a *account) expire(now time.Time) {
	a.recover(now)
	for _, w := range a.called {
		if now.After(w.lapses) {
			a.release(w)
		}
	}
}

// ready reports whether somebody waits who may be called.
func (a *account) ready(now time.Time, full func(*account) bool) bool {
	return a.waiting.waiting > 0 && !now.Before(a.pausedUntil) && a.free(now) >= enough && !full(a)
}

// callNext reserves a token for whoever's turn it is; somebody must be ready.
func (a *account) callNext(now time.Time) *waiter {
	w := a.waiting.pop()
	w.called, w.lapses = true, now.Add(lapse)
	a.called[w.NamespacedName] = w
	a.occupy(1)
	if a.group != nil {
		a.group.reserved++
	}
	return w
}

// release gives up the token that is reserved for w, if one is.
func (a *account) release(w *waiter) {
	if a.called[w.NamespacedName] != w {
		return
	}
	delete(a.called, w.NamespacedName)
	a.occupy(-1)
	if a.group != nil {
		a.group.reserved--
	}
}

// occupy counts calls that are under way or about to be.
func (a *account) occupy(n int) {
	*a.flying += n
	if a.group != nil {
		a.group.busy += n
	}
}

// free is how many tokens there are that are nobody's.
func (a *account) free(now time.Time) float64 {
	return a.limiter.TokensAt(now) - float64(len(a.called))
}

// busy is how many calls are under way or about to be.
func (a *account) busy() int { return a.inFlight + len(a.called) }

// take spends the token of one who was called, and counts the call if its end will be told.
func (a *account) take(w *waiter, now time.Time, counted bool) {
	a.release(w)
	a.spend(now)
	if counted {
		a.inFlight++
		a.occupy(1)
	}
}

// spend takes a token, whether there is one or not.
func (a *account) spend(now time.Time) {
	a.limiter.ReserveN(now, 1)
	if a.group != nil {
		a.group.limiter.ReserveN(now, 1)
	}
}

// done counts the end of a call.
func (a *account) done() {
	a.inFlight--
	a.occupy(-1)
}

// until is how long it takes until n more calls can be made, as far as tokens go.
func (a *account) until(n int, now time.Time) time.Duration {
	start := now
	if a.pausedUntil.After(now) {
		start = a.pausedUntil
	}
	missing := max(0, float64(n)-a.free(start))
	wait := start.Sub(now) + time.Duration(math.Ceil(missing/float64(a.limiter.Limit())*float64(time.Second)))
	return max(wait, atOnce)
}

// throttle stops the account for a while and cuts its rate, unless it is stopped already: then it is the same wave, met
// by another worker. Nobody's turn has come any more; who waited keeps its place among those who wait,
// and so does its namespace.
func (a *account) throttle(now time.Time, pause time.Duration) {
	a.recover(now)
	if !now.Before(a.pausedUntil) {
		a.limiter = rate.NewLimiter(max(a.limiter.Limit()*cut, a.qps*slowest), 1) // no burst right after the pause
		a.limiter.ReserveN(now, 1)
	}
	if until := now.Add(pause); until.After(a.pausedUntil) {
		a.pausedUntil = until
		a.raiseAt = until.Add(raiseEvery)
	}
	for _, w := range a.called {
		a.release(w)
		w.called = false
		a.waiting.putBack(w)
	}
}

// recover lets the rate of a slowed account grow, a step at a time.
func (a *account) recover(now time.Time) {
	for a.limiter.Limit() < a.qps && !now.Before(a.raiseAt) {
		limit := a.limiter.Limit() + a.qps*raise
		if limit >= a.qps*enough {
			limit = a.qps
			a.limiter.SetBurstAt(a.raiseAt, a.burst)
		}
		a.limiter.SetLimitAt(a.raiseAt, limit)
		a.raiseAt = a.raiseAt.Add(raiseEvery)
	}
}

// idle: nothing tells the account from a new one.
func (a *account) idle(now time.Time) bool {
	a.recover(now)
	return now.Sub(a.used) > lapse && a.waiting.waiting+a.busy() == 0 &&
		a.limiter.Limit() == a.qps && a.limiter.TokensAt(now) >= float64(a.burst)
}
