// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import "time"

// Requested records a change for which the operator may call STS. Call it before the change: an StsCredential is created, changed or
// resumed, a renewal is requested, or a Secret is edited or deleted.
func (o *Observer) Requested(secret string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests[secret]++
}

// Calls are the sessions that STS issued, by their reasons.
type Calls struct {
	// Sessions is the number of all sessions.
	Sessions int
	// Due are those whose predecessor had lived for 17/30 of its time: renewal comes a third, and up to a tenth for jitter,
	// before the end. Requested are those that a change explains.
	Due, Requested int
	// Unexplained are the others: a session was lost on the way to a Secret, and requested again.
	Unexplained int
}

// Calls returns the sessions until now. For each session name, as many may be early as changes were recorded.
func (o *Observer) Calls() (c Calls) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for session, issues := range o.sessions {
		young := 0
		var before *Issuance
		for _, i := range issues {
			if before != nil && i.IssuedAt.Sub(before.IssuedAt) >= dueAfter(before) {
				c.Due++
			} else {
				young++
			}
			before = i
		}
		answered := min(young, o.requests[slashed(session)])
		c.Sessions += len(issues)
		c.Requested += answered
		c.Unexplained += young - answered
	}
	return c
}

// dueAfter is the earliest age of a session at which a renewal is due, in whole seconds of STS's clock.
func dueAfter(i *Issuance) time.Duration {
	lifetime := i.ExpiresAt.Sub(i.IssuedAt)
	return lifetime - lifetime/3 - lifetime/10 - time.Second
}

// slashed returns the Secret of a session name.
func slashed(session string) string {
	for i, r := range session {
		if r == '.' {
			return session[:i] + "/" + session[i+1:]
		}
	}
	return session
}
