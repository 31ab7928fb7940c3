// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity knows who asks STS: where the keys come from that sign the
// operator's calls.
package identity

import (
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
	// defaultTimeout bounds how long Keys waits when Options.Timeout does not.
	defaultTimeout = 10 * time.Second
	// recheck is how long keys are used before the source is asked again. Sources
	// renew their keys three minutes ahead, and some start a process to answer.
	recheck = 10 * time.Second
	// A source that fails is left alone for firstBackoff, doubling to lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
)

// Fetch asks a source for the keys in force. It may remember what it fetched, and
// is never called twice at a time. Its errors may hold anything: an
// *UnavailableError is passed on, no word of another.
type Fetch func() (credentials.Credentials, error)

// Options say where the operator's own identity comes from.
type Options struct {
	// NewFetch makes a source that remembers nothing yet: at the start, after a
	// failure, and when STS has called the keys stale. Chain's is the usual one.
	NewFetch func() Fetch
	// STS tells who the keys belong to, and is asked with them.
	STS STSClient
	// Spend counts a call to STS of the operator itself, after it: GetCallerIdentity, and
	// what a source may have asked STS when it gave other keys or failed. These calls wait
	// for nobody, since a backoff bounds them. nil: they are not counted.
	Spend func(account string)
	// Timeout bounds how long Keys waits for the source; 10 s if not set.
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
	flights  singleflight.Group

	mu sync.Mutex
	// keys are the last good ones, nil before there were any. A function, since fmt
	// goes past the methods of what an unexported field holds, even behind a pointer.
	keys        func() credentials.Credentials
	checked     time.Time // when the source last gave keys
	stale       bool      // STS does not take keys any more
	fetch       Fetch     // nil: to be made anew
	invalidated struct {
		accessKeyID string
		at          time.Time
		count       int
	}
	failing backoff
	whoami  whoami
}

// NewOperator prepares the identity; nothing is fetched yet.
func NewOperator(o Options) *Operator {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Spend == nil {
		o.Spend = func(string) {}
	}
	return &Operator{
		newFetch: o.NewFetch, sts: o.STS, spend: o.Spend, timeout: o.Timeout, clock: o.Clock,
		failing: backoff{first: firstBackoff, last: lastBackoff},
		whoami:  whoami{failing: backoff{first: firstWhoami, last: lastWhoami}},
	}
}

// Format names the type and says nothing of the keys, whatever the verb.
func (o *Operator) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "identity.Operator") // a failing writer has nowhere to be told
}

// Keys are the keys to sign with now. While the source fails, the last good ones
// are used on until STS calls them stale (see Invalidate), since sources do not
// tell when their keys expire. Otherwise the error is an *UnavailableError, or
// ctx's own. It waits no longer than Options.Timeout.
func (o *Operator) Credentials(ctx context.Context) (credentials.Credentials, error) {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	for {
		keys, err, settled := o.remembered()
		if settled {
			return keys, err
		}
		select {
		case <-o.flights.DoChan("keys", o.fly):
		case <-waiting.Done():
			return o.overdue(ctx)
		}
	}
}

// Invalidate says that STS called the keys of that AccessKey ID stale
// (sts.StaleIdentity): the next Keys makes the source fetch them anew. Nothing
// happens if others are in use by now, or if the same ones came back from the
// source within the last 10 s.
func (o *Operator) Invalidate(accessKeyID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil || o.keys().AccessKeyID != accessKeyID || o.stale {
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

// remembered is what Keys can say without asking the source.
func (o *Operator) remembered() (keys credentials.Credentials, err error, settled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	usable := o.keys != nil && !o.stale
	switch {
	case usable && (now.Sub(o.checked) < recheck || o.failing.holds(now)):
		return o.keys(), nil, true
	case o.failing.holds(now):
		return credentials.Credentials{}, o.failing.err, true
	default:
		return credentials.Credentials{}, nil, false
	}
}

// fly asks the source, once for all who wait. It goes on after they gave up: the
// sources take no context, and there is never more than this one under way.
func (o *Operator) fly() (any, error) {
	o.mu.Lock()
	if o.fetch == nil {
		o.fetch = o.newFetch()
	}
	fetch, invalidations := o.fetch, o.invalidated.count
	o.mu.Unlock()

	keys, err := caught(fetch)

	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil || o.keys == nil || o.keys().AccessKeyID != keys.AccessKeyID {
		o.spend(o.whoami.caller.Account)
	}
	now := o.clock.Now()
	if o.invalidated.count != invalidations {
		return nil, nil // what it remembers was called stale meanwhile: whoever waits asks again
	}
	if err != nil {
		// A source can be stuck on what failed.
		o.fetch = nil
		o.failing.failed(now, unavailable(err))
		return nil, nil
	}
	o.keys, o.stale, o.checked = func() credentials.Credentials { return keys }, false, now
	o.failing.forget()
	return nil, nil
}

// caught calls fetch, whose source's code goes by what others send, and panics on some of it.
func caught(fetch Fetch) (keys credentials.Credentials, err error) {
	defer func() {
		if recover() != nil {
			keys, err = credentials.Credentials{}, errors.New("the source panicked")
		}
	}()
	keys, err = fetch()
	if err == nil && (keys.AccessKeyID == "" || keys.AccessKeySecret == "") {
		err = &UnavailableError{Class: sts.Transient, NextStep: "the source gave incomplete keys"}
	}
	if err == nil && incomplete(keys) {
		keys, err = credentials.Credentials{}, &UnavailableError{Class: sts.Refused, NextStep: missingToken + "give ALIBABA_CLOUD_SECURITY_TOKEN too"}
	}
	return keys, err
}

// overdue is what Keys says when the source did not answer in time.
func (o *Operator) overdue(ctx context.Context) (credentials.Credentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() == nil {
		o.failing.failed(o.clock.Now(), &UnavailableError{
			Class: sts.Transient, NextStep: "the source of keys did not answer in time: check that it can be reached",
		})
	}
	switch {
	case o.keys != nil && !o.stale:
		return o.keys(), nil
	case ctx.Err() != nil:
		return credentials.Credentials{}, ctx.Err()
	default:
		return credentials.Credentials{}, o.failing.err
	}
}
