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
	refused bool // the API server rejected the last write; the next call to STS needs a successful dry run first
	altered bool // admission changed what was written; the next write needs a successful dry run first
}

// recordRefusal records that a write of the Secret failed, or that admission changed it, if that is the error of a step.
func (s *renewState) recordRefusal(err error) {
	var failure *reconcileError
	if errors.As(err, &failure) && failure.reason == v1alpha1.ReasonSecretWriteFailed {
		s.refused, s.altered = true, s.altered || failure.altered
	}
}

// pending are issued credentials that could not be written yet. A pointer holds them, so that fmt does not print them.
type pending struct {
	issued     *credentials.Credentials // nil if there are none
	requestKey string                   // of the request that they answer
}

// dropUnless drops the credentials if they are for another request, or if at most half of their lifetime is left.
func (p *pending) dropUnless(requestKey string, now time.Time) {
	issued := p.issued
	if issued != nil && (p.requestKey != requestKey || issued.ExpiresAt.Sub(now) <= issued.ExpiresAt.Sub(issued.IssuedAt)/2) {
		*p = pending{}
	}
}

// drift records the last write and its renewal time. If the Secret has another record before then, another client changed
// it.
type drift struct {
	accessKeyID string
	due         time.Time
	pace        pace // of corrections by a call to STS
}

// explains reports whether the cause of a renewal is drift: another client deleted, edited or restored the Secret. That is
// so if the last written credentials are not due yet, and the record is missing, edited, or that of other credentials.
func (s *drift) explains(e existing, d renewal.Decision, now time.Time) bool {
	if s.accessKeyID == "" || (!s.due.IsZero() && !now.Before(s.due)) {
		return false
	}
	return d.Cause.Drift() || !e.intact || e.record.AccessKeyID != s.accessKeyID
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
