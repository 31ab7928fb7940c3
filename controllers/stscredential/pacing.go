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
	// Failures that may pass by themselves are retried after 1s, doubling to 1m; those that wait for an administrator
	// after 1m, doubling to 10m.
	transientMin, transientMax = time.Second, time.Minute
	refusedMin, refusedMax     = time.Minute, 10 * time.Minute
	// refusedRush is how soon a refusal is retried at most when little life is left.
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

// untilCall is how long the next call to STS must wait; 0 if it may be made.
func (p *callPace) untilCall(now time.Time) time.Duration {
	return time.Duration(max(0, 1-p.limit.TokensAt(now)) * float64(callEvery))
}

// recordCall counts a call.
func (p *callPace) recordCall(now time.Time) { p.limit.AllowN(now, 1) }

// resetFor ends what failed with another key.
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

// delay counts a failure and returns how long to wait for the next try, which is more than 0: STS can be wrong about what
// it calls invalid, so that no answer ends the retries. lifeLeft is how long the old credentials go on working: the less it
// is, the sooner the next try.
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
	// A try that is made early does not count: once nothing works any more, the next is not put off by all of those before.
	if rushed := max(lifeLeft/4, rush); lifeLeft > 0 && rushed < delay {
		delay = rushed
	} else {
		p.failures++
	}
	return delay - renewal.Spread(fmt.Sprint(p.seed, "/", p.failures), delay/5)
}

// succeeded ends what failed before.
func (p *callPace) succeeded() { p.failures, p.last = 0, nil }

// pace lets things happen at once the first time, and then ever less often until an hour has passed without one.
type pace struct {
	key   string
	at    time.Time
	pause time.Duration
}

// until is how long the next must wait; 0 if it may happen now, as the first of another key always may.
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

// pacedCorrection says that another client changed part of the Secret, and when the operator corrects it, by STS's clock: not at once,
// since it has done so shortly before.
func pacedCorrection(t target, part string, at time.Time) string {
	return fmt.Sprintf("another client changed Secret %s (%s) again: the operator corrects it at %s, since repeated corrections are paced. Stop the other client",
		t.credential.SecretName(), part, at.UTC().Truncate(time.Second).Format(time.RFC3339))
}
