// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"fmt"
	"time"
)

// late is the tolerance after an expiration: the watch event of the replacement may be on its way.
const late = 2 * time.Second

// interval is a time without STS, or without an API server; until is zero while it lasts.
type interval struct{ from, until time.Time }

// Outage records that from now on the operator cannot renew.
func (o *Observer) Outage(from time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outages = append(o.outages, interval{from: from})
}

// Restored records the end of the outage.
func (o *Observer) Restored(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := len(o.outages) - 1; last >= 0 && o.outages[last].until.IsZero() {
		o.outages[last].until = until
	}
}

// Check searches all Secrets for expired credentials.
func (o *Observer) Check(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.secrets {
		w := o.desired[name]
		if h.issuance == nil || w == nil || w.since.IsZero() {
			continue
		}
		o.checks++
		expiry := h.issuance.ExpiresAt
		if now.Before(expiry.Add(late)) {
			continue
		}
		before := o.calmest(later(expiry.Add(-h.issuance.margin()), w.since), expiry)
		after := o.calmest(later(expiry, w.since), now)
		if before > o.calm || after > o.recovery {
			o.violate(now, name+"/"+h.issuance.ID, fmt.Sprintf("Secret %s holds credentials that expired %s ago, although renewal was possible for %s in a row before, and %s since",
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

// calmest returns the longest time without an outage.
func (o *Observer) calmest(from, until time.Time) (longest time.Duration) {
	for _, b := range o.outages {
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
