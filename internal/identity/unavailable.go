// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// UnavailableError is returned when an identity has no credentials to call STS with. It becomes the condition reason
// IdentityUnavailable. Its text holds no secret value, and no URL or response body of a source.
type UnavailableError struct {
	// Source is the source of the credentials; empty if none is configured.
	Source string
	// Class is sts.Refused if a user or an administrator must act, or sts.Transient.
	Class sts.Class
	// NextStep is the cause and the next step.
	NextStep string
}

// Error returns "no credentials to call STS: <source>: <cause>. <next step>".
func (e *UnavailableError) Error() string {
	text := "no credentials to call STS: "
	if e.Source != "" {
		text += e.Source + ": "
	}
	return text + e.NextStep
}

// unavailable returns the *UnavailableError in err; the text of any other error is dropped.
func unavailable(err error) *UnavailableError {
	var known *UnavailableError
	if errors.As(err, &known) {
		return known
	}
	return &UnavailableError{Class: sts.Transient, NextStep: "the source of credentials failed. Check its configuration"}
}

// backoff holds a failure for a time that doubles from first to last.
type backoff struct {
	first, last time.Duration

	next  time.Duration
	until time.Time
	err   error
}

// holds reports whether it is too early to try again.
func (b *backoff) holds(now time.Time) bool { return now.Before(b.until) }

// failed records err. While an earlier failure holds, it has no effect.
func (b *backoff) failed(now time.Time, err error) {
	if b.holds(now) {
		return
	}
	b.next = min(max(b.first, 2*b.next), b.last)
	b.until, b.err = now.Add(b.next), err
}

// forget clears the failure.
func (b *backoff) forget() { b.next, b.until, b.err = 0, time.Time{}, nil }
