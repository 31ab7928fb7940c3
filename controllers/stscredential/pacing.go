// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"time"
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

	// One object makes this many tries at once, and then one every tryEvery: a user's renew requests and changes are followed
	// at once, a loop of them is not.
	tryBurst = 10
	tryEvery = 5 * time.Second
)

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
