// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"errors"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// renewState is what is kept of the renewals of one object.
type renewState struct {
	calls   callPace
	pending pending
	drift   drift
	refused bool // the last write: a dry run comes before the next call
	altered bool // what was written, by admission: a dry run comes before the next write, too
}

// recordRefusal records that the API server did not take the Secret as it was sent, if that is the error of a step.
func (s *renewState) recordRefusal(err error) {
	var failure *reconcileError
	if errors.As(err, &failure) && failure.reason == v1alpha1.ReasonSecretWriteFailed {
		s.refused, s.altered = true, s.altered || failure.altered
	}
}

// pending is credentials that could not be written, and wait for that. It hides what it holds from everything that prints.
type pending struct {
	issued     func() credentials.Credentials // nil if there are none
	requestKey string                         // what they answer
}

// keep holds on to credentials that could not be written.
func (p *pending) keep(requestKey string, issued credentials.Credentials) {
	*p = pending{func() credentials.Credentials { return issued }, requestKey}
}

// get returns the credentials, if there are any.
func (p *pending) get() (credentials.Credentials, bool) {
	if p.issued == nil {
		return credentials.Credentials{}, false
	}
	return p.issued(), true
}

// dropUnless drops the credentials, unless they are what is asked for and live on for half of their time.
func (p *pending) dropUnless(requestKey string, now time.Time) {
	issued, any := p.get()
	if any && (p.requestKey != requestKey || issued.ExpiresAt.Sub(now) <= issued.ExpiresAt.Sub(issued.IssuedAt)/2) {
		*p = pending{}
	}
}

// drift knows what was written last, and when that is due: another record, or none, is another client's doing.
type drift struct {
	accessKeyID string
	due         time.Time
	pace        pace // of corrections by a call to STS
}

// explains reports whether a renewal is due to another client, which has deleted, edited or put back the Secret, rather than
// to time or a renew request: the record is not the one that was written last, and that one is not due.
func (s *drift) explains(e existing, d renewal.Decision, now time.Time) bool {
	if s.accessKeyID == "" || (!s.due.IsZero() && !now.Before(s.due)) {
		return false
	}
	return d.Cause.Repair() || !e.intact || e.record.AccessKeyID != s.accessKeyID
}

// adopt records what another process wrote, as long as this one wrote nothing.
func (s *drift) adopt(e existing, d renewal.Decision) {
	if s.due.IsZero() && d.Usable {
		s.recordWrite(e.record.AccessKeyID, d.RenewAt)
	}
}

// recordWrite records what was written, and when it is due.
func (s *drift) recordWrite(accessKeyID string, due time.Time) {
	s.accessKeyID, s.due = accessKeyID, due
}
