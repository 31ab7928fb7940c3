// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// UnavailableError says that there are no keys to sign with, and what to do. It
// ends in the condition reason IdentityUnavailable. Its text holds no key, URL or
// body that a source sent.
type UnavailableError struct {
	// Source is where the keys should have come from; empty if no source is configured.
	Source string
	// Class is sts.Refused if somebody must act, sts.Transient if it may pass by itself.
	Class sts.Class
	// NextStep says in own words what happened and what to do about it.
	NextStep string
}

// Error is "no identity to ask STS with: source: next step".
func (e *UnavailableError) Error() string {
	text := "no identity to ask STS with: "
	if e.Source != "" {
		text += e.Source + ": "
	}
	return text + e.NextStep
}

// unavailable keeps an *UnavailableError, and nothing of any other error.
func unavailable(err error) *UnavailableError {
	var known *UnavailableError
	if errors.As(err, &known) {
		return known
	}
	return &UnavailableError{Class: sts.Transient, NextStep: "the source of keys failed: check its configuration"}
}

// backoff remembers a failure for a while that doubles from first to last.
type backoff struct {
	first, last time.Duration

	next  time.Duration
	until time.Time
	err   error
}

// holds tells whether the failure is still too fresh to try again.
func (b *backoff) holds(now time.Time) bool { return now.Before(b.until) }

// failed remembers err. Of several that learn of one failure the first counts.
func (b *backoff) failed(now time.Time, err error) {
	if b.holds(now) {
		return
	}
	b.next = min(max(b.first, 2*b.next), b.last)
	b.until, b.err = now.Add(b.next), err
}

// forget forgets the failure.
func (b *backoff) forget() { b.next, b.until, b.err = 0, time.Time{}, nil }
