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
	// defaultPause and maxPause are the default and the maximum of the pause after a throttling response.
	defaultPause = time.Second
	maxPause     = time.Minute
	// A throttling response halves the rate, to no less than a sixteenth of the full rate. After the pause the rate grows by
	// the same step each raiseEvery, by a half in a minute.
	cut        = 0.5
	slowest    = 1.0 / 16
	raise      = 1.0 / 120
	raiseEvery = time.Second
	// enough is one token, less rounding errors.
	enough = 1 - 1e-6
	// atOnce is the shortest wait.
	atOnce = time.Millisecond
	// saturatedWait is the shortest wait for a saturated account: the end of a call admits the next claim, so that claims need
	// not be repeated often.
	saturatedWait = 15 * time.Second
)

// account is the token bucket of an account with its waiting claims, and the admitted claims, for which tokens are reserved.
type account struct {
	limiter     *rate.Limiter
	qps         rate.Limit // full rate
	burst       int
	pausedUntil time.Time
	raiseAt     time.Time // when a reduced rate grows
	used        time.Time
	inFlight    int // counted only if seats are limited
	waiting     *queue
	admitted    map[types.NamespacedName]*waiter
	budget      *Budget
	group       *group // with which it shares a limit; nil if none
	served      uint64 // when it was last served in the group
}

func newAccount(b *Budget, qps rate.Limit, burst int) *account {
	return &account{budget: b, qps: qps, burst: burst, limiter: rate.NewLimiter(qps, burst), waiting: newQueue(), admitted: map[types.NamespacedName]*waiter{}}
}

// admit admits claims while there are free tokens and seats.
func (a *account) admit(now time.Time) (admitted []*waiter) {
	for a.expire(now); a.ready(now); {
		admitted = append(admitted, a.admitNext(now))
	}
	return admitted
}

// expire drops expired reservations.
func (a *account) expire(now time.Time) {
	a.recover(now)
	for _, w := range a.admitted {
		if now.After(w.reservedUntil) {
			a.unreserve(w)
		}
	}
}

// ready reports whether the next claim can be admitted.
func (a *account) ready(now time.Time) bool {
	return a.waiting.waiting > 0 && !now.Before(a.pausedUntil) && a.free(now) >= enough && !a.saturated()
}

// saturated reports whether the account occupies as many seats as it leaves free.
func (a *account) saturated() bool {
	free := a.budget.seats - a.budget.occupied
	if a.group != nil {
		free = a.group.left(free)
	}
	return a.budget.seats > 0 && a.seats() >= free
}

// admitNext reserves a token for the next claim; one must be ready.
func (a *account) admitNext(now time.Time) *waiter {
	w := a.waiting.pop()
	w.admitted, w.reservedUntil = true, now.Add(reservationTTL)
	a.admitted[w.NamespacedName] = w
	a.occupy(1)
	if a.group != nil {
		a.group.reserved++
	}
	return w
}

// unreserve drops the reservation of w, if there is one.
func (a *account) unreserve(w *waiter) {
	if a.admitted[w.NamespacedName] != w {
		return
	}
	delete(a.admitted, w.NamespacedName)
	a.occupy(-1)
	if a.group != nil {
		a.group.reserved--
	}
}

// occupy adds n occupied seats.
func (a *account) occupy(n int) {
	a.budget.occupied += n
	if a.group != nil {
		a.group.occupied += n
	}
}

// free returns the number of tokens that are not reserved.
func (a *account) free(now time.Time) float64 {
	return a.limiter.TokensAt(now) - float64(len(a.admitted))
}

// seats returns the number of occupied seats.
func (a *account) seats() int { return a.inFlight + len(a.admitted) }

// take spends the token of an admitted claim, and counts the call if seats are limited.
func (a *account) take(w *waiter, now time.Time, counted bool) {
	a.unreserve(w)
	a.spend(now)
	if counted {
		a.inFlight++
		a.occupy(1)
	}
}

// spend spends a token, even if there is none.
func (a *account) spend(now time.Time) {
	a.limiter.ReserveN(now, 1)
	if a.group != nil {
		a.group.limiter.ReserveN(now, 1)
	}
}

// done reports the end of a call.
func (a *account) done() {
	a.inFlight--
	a.occupy(-1)
}

// until returns how long it takes until there are n free tokens.
func (a *account) until(n int, now time.Time) time.Duration {
	start := now
	if a.pausedUntil.After(now) {
		start = a.pausedUntil
	}
	missing := max(0, float64(n)-a.free(start))
	wait := start.Sub(now) + time.Duration(math.Ceil(missing/float64(a.limiter.Limit())*float64(time.Second)))
	return max(wait, atOnce)
}

// throttle pauses the account and reduces its rate. If it is paused already, the rate stays: concurrent calls get the same
// throttling. Admitted claims wait again, and they and their namespaces keep their positions.
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
	for _, w := range a.admitted {
		a.unreserve(w)
		w.admitted = false
		a.waiting.requeue(w)
	}
}

// recover lets a reduced rate grow, step by step.
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

// idle reports whether the account is in its initial state.
func (a *account) idle(now time.Time) bool {
	a.recover(now)
	return now.Sub(a.used) > reservationTTL && a.waiting.waiting+a.seats() == 0 &&
		a.limiter.Limit() == a.qps && a.limiter.TokensAt(now) >= float64(a.burst)
}
