// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// defaultTimeout bounds how long Credentials waits when Options.Timeout does not.
	defaultTimeout = 10 * time.Second
	// recheck is the interval between two reads of a source that works. Sources renew their credentials three minutes before
	// they expire, and some start a process for each read.
	recheck = 10 * time.Second
	// A source that fails is read again after firstBackoff, doubling to lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
)

// Fetch returns the current credentials of a source. It may cache them, and is never called concurrently. Only the text of an
// *UnavailableError is passed on: other errors may hold secret values.
type Fetch func() (credentials.Credentials, error)

// Options are the options of an Operator.
type Options struct {
	// NewFetch makes a source with an empty cache: at the start, after a failure, and when STS has called the credentials
	// stale. Chain.NewFetch is the default.
	NewFetch func() Fetch
	// STS is the client for the operator's calls.
	STS STSClient
	// Spend counts a call to STS after it was made: GetCallerIdentity, and the call that a source may have made when it
	// returned other credentials or failed. A backoff bounds these calls, so they do not wait for the budget. nil: they are
	// not counted.
	Spend func(account string)
	// Timeout bounds how long Credentials waits for the source; 10 s if not set.
	Timeout time.Duration
	// Clock is the local clock.
	Clock clock.PassiveClock
}

// Operator is the operator's own identity. It is safe for concurrent use.
type Operator struct {
	newFetch func() Fetch
	sts      STSClient
	spend    func(account string)
	timeout  time.Duration
	clock    clock.PassiveClock
	inFlight singleflight.Group

	callers *callerCache

	mu sync.Mutex
	// current returns the last credentials of the source; nil before there were any. It is a function because fmt prints
	// unexported fields without their methods, even behind a pointer.
	current     func() credentials.Credentials
	checked     time.Time // when the source last returned credentials
	stale       bool      // STS called the current credentials stale
	fetch       Fetch     // nil: make a new one
	invalidated struct {
		accessKeyID string
		at          time.Time
		count       int
	}
	failing backoff

	caller            sts.Caller // of the last GetCallerIdentity that succeeded
	callerAccessKeyID string     // that signed it
}

// NewOperator prepares the identity; nothing is fetched yet.
func NewOperator(o Options) *Operator {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Spend == nil {
		o.Spend = func(string) {}
	}
	operator := &Operator{
		newFetch: o.NewFetch, sts: o.STS, spend: o.Spend, timeout: o.Timeout, clock: o.Clock,
		failing: backoff{first: firstBackoff, last: lastBackoff},
	}
	operator.callers = &callerCache{
		sts: o.STS, timeout: callerTimeout, clock: o.Clock, lastRefusal: lastCallerRetry, called: operator.called, entries: newPerNamespace(),
	}
	return operator
}

// Format prints the name of the type and no credentials, whatever the verb.
func (o *Operator) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "identity.Operator") // fmt reports no errors
}

// Identity returns the operator's own identity. If GetCallerIdentity has not succeeded for the current credentials, its
// Caller has only the account of earlier credentials, which may be empty. The error is one of Credentials'.
func (o *Operator) Identity(ctx context.Context) (Identity, error) {
	signer, err := o.Credentials(ctx)
	if err != nil {
		return Identity{}, err
	}
	_ = o.Identify(ctx) // the call is made without the caller's identity
	caller, ok := o.Caller()
	if !ok {
		caller.ARN = ""
	}
	return Identity{
		Caller: caller,
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return o.sts.AssumeRole(ctx, signer, in)
		},
		Invalidate: func() { o.Invalidate(signer.AccessKeyID) },
	}, nil
}

// Caller returns the caller that GetCallerIdentity returned last. ok is false if it did so for earlier credentials, or not
// yet.
func (o *Operator) Caller() (caller sts.Caller, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.caller, o.current != nil && o.callerAccessKeyID == o.current().AccessKeyID
}

// Identify calls GetCallerIdentity once for each AccessKey, so that it is cheap to call often. The answer also updates the
// clock skew of the STS client. It waits no longer than 5 s; after a failure it returns that failure for a while (10 s
// growing to 5 min) without a call. The error is one of Credentials', of GetCallerIdentity or of ctx.
func (o *Operator) Identify(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, callerTimeout)
	defer cancel()
	signer, err := o.Credentials(waiting)
	if err != nil {
		return err
	}
	caller, err := o.callers.get(waiting, "", signer)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.caller, o.callerAccessKeyID = caller, signer.AccessKeyID
	return nil
}

// called counts a GetCallerIdentity, and invalidates credentials that it called stale.
func (o *Operator) called(signer credentials.Credentials, caller sts.Caller, err error) {
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.StaleIdentity {
		o.Invalidate(signer.AccessKeyID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spend(cmp.Or(caller.Account, o.caller.Account))
}

// Credentials returns the credentials to sign with now. While the source fails, it returns the last ones until STS calls
// them stale (see Invalidate), since sources do not report when their credentials expire. Otherwise the error is an
// *UnavailableError, or ctx's own. It waits no longer than Options.Timeout.
func (o *Operator) Credentials(ctx context.Context) (credentials.Credentials, error) {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	for {
		current, err, ok := o.cached()
		if ok {
			return current, err
		}
		select {
		case <-o.inFlight.DoChan("", o.read):
		case <-waiting.Done():
			return o.timedOut(ctx)
		}
	}
}

// Invalidate reports that STS called the credentials with that AccessKey ID stale (sts.StaleIdentity): the next Credentials
// reads the source again. It has no effect if others are in use by now, or within 10 s after the last one for this ID.
func (o *Operator) Invalidate(accessKeyID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current == nil || o.current().AccessKeyID != accessKeyID || o.stale {
		return
	}
	now := o.clock.Now()
	if o.invalidated.accessKeyID == accessKeyID && now.Sub(o.invalidated.at) < recheck {
		return
	}
	o.invalidated.accessKeyID, o.invalidated.at = accessKeyID, now
	o.invalidated.count++
	o.stale, o.fetch = true, nil
}

// cached returns the result of Credentials; ok is false if the source must be read.
func (o *Operator) cached() (current credentials.Credentials, err error, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	usable := o.current != nil && !o.stale
	switch {
	case usable && (now.Sub(o.checked) < recheck || o.failing.holds(now)):
		return o.current(), nil, true
	case o.failing.holds(now):
		return credentials.Credentials{}, o.failing.err, true
	default:
		return credentials.Credentials{}, nil, false
	}
}

// read reads the source, once for all callers that wait. It continues when they stop waiting, because sources take no
// context.
func (o *Operator) read() (any, error) {
	if _, _, ok := o.cached(); ok {
		return nil, nil // another read ended after the caller had found nothing
	}
	o.mu.Lock()
	if o.fetch == nil {
		o.fetch = o.newFetch()
	}
	fetch, invalidations := o.fetch, o.invalidated.count
	o.mu.Unlock()

	fetched, err := fetchSafely(fetch)

	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil || o.current == nil || o.current().AccessKeyID != fetched.AccessKeyID {
		o.spend(o.caller.Account)
	}
	now := o.clock.Now()
	if o.invalidated.count != invalidations {
		return nil, nil // they were called stale during the read: the callers read again
	}
	if err != nil {
		o.fetch = nil // the source may have cached the failure
		o.failing.failed(now, unavailable(err))
		return nil, nil
	}
	o.current, o.stale, o.checked = func() credentials.Credentials { return fetched }, false, now
	o.failing.forget()
	return nil, nil
}

// fetchSafely calls fetch and recovers from a panic: credentials-go panics on some responses.
func fetchSafely(fetch Fetch) (fetched credentials.Credentials, err error) {
	defer func() {
		if recover() != nil {
			fetched, err = credentials.Credentials{}, errors.New("the source panicked")
		}
	}()
	fetched, err = fetch()
	if err == nil && (fetched.AccessKeyID == "" || fetched.AccessKeySecret == "") {
		err = &UnavailableError{Class: sts.Transient, NextStep: "the source returned an incomplete AccessKey. Check its configuration"}
	}
	return fetched, err
}

// timedOut returns the result of Credentials when the source did not answer in time.
func (o *Operator) timedOut(ctx context.Context) (credentials.Credentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() == nil {
		o.failing.failed(o.clock.Now(), &UnavailableError{
			Class: sts.Transient, NextStep: "the source of credentials did not answer in time. Check that it can be reached from the operator's pod",
		})
	}
	switch {
	case o.current != nil && !o.stale:
		return o.current(), nil
	case ctx.Err() != nil:
		return credentials.Credentials{}, ctx.Err()
	default:
		return credentials.Credentials{}, o.failing.err
	}
}
