// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"strings"
	"time"
)

// timeline is when a Secret got its first session, and how late the others were.
type timeline struct {
	first    time.Time // when the Secret first held a session
	last     *Issuance
	renewed  int
	lateness time.Duration // of the latest renewal; negative if all were early
}

// add records that a Secret holds a session.
func (t *timeline) add(at time.Time, i *Issuance) {
	switch {
	case t.last == nil:
		t.first = at
	case i.number <= t.last.number:
		return
	default:
		late := at.Sub(t.last.renewalDue())
		if t.renewed == 0 || late > t.lateness {
			t.lateness = late
		}
		t.renewed++
	}
	t.last = i
}

// renewalDue is when a third of a session's life is left. The operator plans renewals for this time, or for up to a tenth of the
// life before it.
func (i *Issuance) renewalDue() time.Time { return i.ExpiresAt.Add(-i.margin()) }

// Punctuality is how soon the Secrets of a namespace got their credentials, and how late these were renewed.
type Punctuality struct {
	// Kept is the number of StsCredentials, Issued the number of those whose Secret has held credentials.
	Kept, Issued int
	// Slowest is the longest time between the creation of an StsCredential and the credentials in its Secret. It includes
	// those that have none yet.
	Slowest time.Duration
	// Renewed is the number of renewals that reached a Secret.
	Renewed int
	// Latest is the longest time between the moment when a third of the life was left and the next session in the Secret. It
	// includes sessions that are due and not renewed yet. It is negative if nothing was ever due.
	Latest time.Duration
}

// Punctuality returns the punctuality of a namespace until now.
func (o *Observer) Punctuality(namespace string, now time.Time) Punctuality {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := Punctuality{Latest: -time.Hour}
	for name, w := range o.desired {
		if !strings.HasPrefix(name, namespace+"/") || w.since.IsZero() {
			continue
		}
		p.Kept++
		h := o.secrets[name]
		if h == nil || h.timeline.last == nil {
			p.Slowest = max(p.Slowest, now.Sub(w.since))
			continue
		}
		t := &h.timeline
		p.Issued++
		p.Slowest = max(p.Slowest, t.first.Sub(w.since))
		p.Renewed += t.renewed
		p.Latest = max(p.Latest, now.Sub(t.last.renewalDue()))
		if t.renewed > 0 {
			p.Latest = max(p.Latest, t.lateness)
		}
	}
	return p
}
