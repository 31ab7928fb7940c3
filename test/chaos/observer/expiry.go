// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"fmt"
	"time"
)

// late is how long after its expiry a session may still be seen: the news of its replacement are under way.
const late = 2 * time.Second

// interval is a time without STS, or without an API server; until is zero while it lasts.
type interval struct{ from, until time.Time }

// Blackout tells that from now on the operator cannot renew: nobody answers, or not as it should.
func (o *Observer) Blackout(from time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blackouts = append(o.blackouts, interval{from: from})
}

// Light tells that the blackout is over.
func (o *Observer) Light(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := len(o.blackouts) - 1; last >= 0 && o.blackouts[last].until.IsZero() {
		o.blackouts[last].until = until
	}
}

// Check holds every Secret against the clock.
func (o *Observer) Check(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.secrets {
		w := o.wanted[name]
		if h.issue == nil || w == nil || w.since.IsZero() {
			continue
		}
		o.looks++
		expiry := h.issue.ExpiresAt
		if now.Before(expiry.Add(late)) {
			continue
		}
		before := o.calmest(later(expiry.Add(-h.issue.margin()), w.since), expiry)
		after := o.calmest(later(expiry, w.since), now)
		if before > o.calm || after > o.recovery {
			o.violate(now, name+"/"+h.issue.ID, fmt.Sprintf("Secret %s holds a triple that expired %s ago, though it could be renewed for %s in a row before, and %s since",
				name, now.Sub(expiry).Round(time.Second), before.Round(time.Second), after.Round(time.Second)))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// calmest is the longest time without a blackout.
func (o *Observer) calmest(from, until time.Time) (longest time.Duration) {
	for _, b := range o.blackouts {
		if !b.until.IsZero() && b.until.Before(from) {
			continue
		}
		if b.from.After(until) {
			break
		}
		longest = max(longest, b.from.Sub(from))
		if b.until.IsZero() || b.until.After(until) {
			return longest
		}
		from = b.until
	}
	return max(longest, until.Sub(from))
}
