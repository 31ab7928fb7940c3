// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import "time"

// Wished tells, before the API server is, of something that the operator may answer with a call to STS: a StsCredential that
// is created, changed or resumed, a renewal that is asked for, a Secret that is edited or deleted.
func (o *Observer) Wished(secret string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wishes[secret]++
}

// Calls is how the sessions that STS handed out are accounted for.
type Calls struct {
	// Sessions were handed out.
	Sessions int
	// Due are those whose predecessor had lived for 17/30 of its time: renewal comes a third, and up to a tenth for jitter,
	// before the end. Wished are those that answer what was wished.
	Due, Wished int
	// Unexplained are the others: lost on the way to a Secret, and asked for again.
	Unexplained int
}

// Calls accounts for the sessions so far. Of each name of a session as many may be sooner than due as was wished for.
func (o *Observer) Calls() (c Calls) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for session, issues := range o.sessions {
		young := 0
		var before *Issue
		for _, i := range issues {
			if before != nil && i.IssuedAt.Sub(before.IssuedAt) >= dueAfter(before) {
				c.Due++
			} else {
				young++
			}
			before = i
		}
		answered := min(young, o.wishes[slashed(session)])
		c.Sessions += len(issues)
		c.Wished += answered
		c.Unexplained += young - answered
	}
	return c
}

// dueAfter is the soonest that a renewal is planned for, in whole seconds of STS's clock.
func dueAfter(i *Issue) time.Duration {
	lifetime := i.ExpiresAt.Sub(i.IssuedAt)
	return lifetime - lifetime/3 - lifetime/10 - time.Second
}

// slashed is the Secret of a session's name.
func slashed(session string) string {
	for i, r := range session {
		if r == '.' {
			return session[:i] + "/" + session[i+1:]
		}
	}
	return session
}
