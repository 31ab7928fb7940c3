// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity provides the identities that call STS: the operator's own, ServiceAccounts, and AccessKeys in Secrets.
package identity

import (
	"context"
	"errors"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// STSClient makes signed calls to STS; *sts.Client does.
type STSClient interface {
	GetCallerIdentity(ctx context.Context, signer credentials.Credentials) (sts.Caller, error)
	AssumeRole(ctx context.Context, signer credentials.Credentials, in credentials.Request) (credentials.Credentials, error)
}

// Identity is an identity that can call STS. Only its functions hold credentials, so that it can be printed.
type Identity struct {
	// Caller is the identity as STS names it. Account is the key of the call budget; ARN, which messages show, may be empty.
	Caller sts.Caller
	// Identify calls GetCallerIdentity and returns what replaces Caller. The call counts in the budget of Caller.Account. It
	// is nil where the result of an earlier call is known. The error is an *sts.Error that throttles the call, an
	// *UnavailableError, or the context's.
	Identify func(ctx context.Context) (sts.Caller, error)
	// AssumeRole requests temporary credentials. The error is an *sts.Error, an *UnavailableError or the context's.
	AssumeRole func(ctx context.Context, in credentials.Request) (credentials.Credentials, error)
	// Invalidate reports that STS called the identity stale (sts.StaleIdentity): the next Identity is fetched again. It is
	// never nil.
	Invalidate func()
}

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
