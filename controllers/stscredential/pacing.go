// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// Transient failures are retried after 1s, doubling to 1m. Failures that need an administrator are retried after 1m,
	// doubling to 10m.
	transientMin, transientMax = time.Second, time.Minute
	refusedMin, refusedMax     = time.Minute, 10 * time.Minute
	// refusedRush is the minimum delay of a retry after a refusal, however soon the credentials expire.
	refusedRush = 10 * time.Second

	// Drift corrections of one Secret, and likewise of its metadata: the first at once, then at most one a minute, doubling
	// to ten, until an hour has passed without one.
	correctionMin, correctionMax = time.Minute, 10 * time.Minute
	correctionReset              = time.Hour

	// One object makes this many calls at once, and then one every callEvery: a user's renew requests and changes are followed
	// at once, a loop of them is not.
	callBurst = 10
	callEvery = 5 * time.Second
)

// callPace paces the calls to STS for one object.
type callPace struct {
	seed string // so that objects do not retry in step
	// limit is how often STS may be called, whatever is requested and however the spec changes.
	limit *rate.Limiter
	// The last failure, of what it was, and when the next try is due.
	key       string
	failures  int
	last      *reconcileError
	notBefore time.Time
}

func newCallPace(seed string) callPace {
	return callPace{seed: seed, limit: rate.NewLimiter(rate.Every(callEvery), callBurst)}
}

// untilCall returns the time until the next call to STS is allowed; 0 if it is allowed now.
func (p *callPace) untilCall(now time.Time) time.Duration {
	return time.Duration(max(0, 1-p.limit.TokensAt(now)) * float64(callEvery))
}

// recordCall counts a call.
func (p *callPace) recordCall(now time.Time) { p.limit.AllowN(now, 1) }

// resetFor resets the backoff if the key has changed.
func (p *callPace) resetFor(key string) {
	if p.key != key {
		p.key, p.failures, p.last = key, 0, nil
	}
}

// lastFailure is the failure that holds back another try, with the time that is left; nil if there is none.
func (p *callPace) lastFailure(now time.Time) *reconcileError {
	if p.last == nil || !now.Before(p.notBefore) {
		return nil
	}
	return p.last.retry(p.notBefore.Sub(now))
}

// failed counts a failure, and returns it with the time of the next try.
func (p *callPace) failed(failure *reconcileError, class sts.Class, lifeLeft time.Duration, now time.Time) *reconcileError {
	wait := p.delay(class, lifeLeft)
	p.last, p.notBefore = failure, now.Add(wait)
	return failure.retry(wait)
}

// delay counts a failure and returns the delay until the next attempt. The delay is never 0, and retries never end, because
// STS can report a valid request as invalid. lifeLeft is the remaining lifetime of the current credentials: the shorter it
// is, the earlier the next attempt.
func (p *callPace) delay(class sts.Class, lifeLeft time.Duration) time.Duration {
	least, most, rush := transientMin, transientMax, transientMin
	switch class {
	case sts.Invalid, sts.Refused, sts.StaleIdentity:
		least, most, rush = refusedMin, refusedMax, refusedRush
	case sts.Throttled, sts.Transient:
	}
	delay := most
	if doublings := min(p.failures, 16); least<<doublings < most {
		delay = least << doublings
	}
	// An attempt that is made early because the expiration is near does not increase the backoff: the attempts after the
	// expiration must not be delayed.
	if rushed := max(lifeLeft/4, rush); lifeLeft > 0 && rushed < delay {
		delay = rushed
	} else {
		p.failures++
	}
	return delay - renewal.Spread(fmt.Sprint(p.seed, "/", p.failures), delay/5)
}

// succeeded resets the backoff.
func (p *callPace) succeeded() { p.failures, p.last = 0, nil }

// pace limits corrections: the first is immediate, later ones have increasing delays. An hour without a correction resets
// it.
type pace struct {
	key   string
	at    time.Time
	pause time.Duration
}

// until returns the time until the next correction is allowed; 0 if it is allowed now. The first one of another key always
// is.
func (p *pace) until(key string, now time.Time) time.Duration {
	if p.key != key || now.Sub(p.at) >= correctionReset {
		return 0
	}
	return max(0, p.at.Add(p.pause).Sub(now))
}

// done counts one.
func (p *pace) done(key string, now time.Time) {
	if p.key != key || now.Sub(p.at) >= correctionReset {
		p.pause = correctionMin / 2
	}
	p.key, p.at, p.pause = key, now, min(2*p.pause, correctionMax)
}

// pacedCorrection returns the message for a correction that is delayed because the operator made one shortly before. at is
// the time of the correction, by STS's clock.
func pacedCorrection(secretName, part string, at time.Time) string {
	return fmt.Sprintf("the correction of Secret %s waits until %s: another client changes %s repeatedly. Stop the other client",
		secretName, at.UTC().Truncate(time.Second).Format(time.RFC3339), part)
}
