// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// fakeSTS answers GetCallerIdentity with the AccessKey ID as ARN, or fails.
type fakeSTS struct {
	mu    sync.Mutex
	err   error
	calls int
	hang  bool
}

func (a *fakeSTS) GetCallerIdentity(ctx context.Context, keys credentials.Credentials) (sts.Caller, error) {
	a.mu.Lock()
	a.calls++
	err, hang := a.err, a.hang
	a.mu.Unlock()
	if hang {
		<-ctx.Done()
		return sts.Caller{}, ctx.Err()
	}
	return sts.Caller{ARN: keys.AccessKeyID}, err
}

func (a *fakeSTS) AssumeRole(context.Context, credentials.Credentials, credentials.Request) (credentials.Credentials, error) {
	panic("not asked for")
}

func TestIdentify(t *testing.T) {
	clock, s, a := newClock(), &source{id: "k1"}, &fakeSTS{}
	operator := identity.NewOperator(identity.Options{NewFetch: s.newFetch, STS: a, Clock: clock})
	down := &sts.Error{Action: "GetCallerIdentity", Class: sts.Transient, NextStep: "wait"}
	expect := func(story string, failure error, calls int, arn string, current bool) {
		t.Helper()
		if err := operator.Identify(context.Background()); !errors.Is(err, failure) {
			t.Errorf("%s: got %v", story, err)
		}
		caller, ok := operator.Caller()
		if a.calls != calls || caller.ARN != arn || ok != current {
			t.Errorf("%s: %d calls and %q, %t; want %d and %q, %t", story, a.calls, caller.ARN, ok, calls, arn, current)
		}
	}

	if _, ok := operator.Caller(); ok {
		t.Error("a caller before any keys")
	}
	a.err = down
	expect("STS is down", down, 1, "", false)
	expect("it is not asked again at once", down, 1, "", false)
	clock.SetTime(clock.Now().Add(10 * time.Second))
	expect("but after ten seconds", down, 2, "", false)
	clock.SetTime(clock.Now().Add(19 * time.Second))
	expect("then twenty", down, 2, "", false)
	a.err = nil
	clock.SetTime(clock.Now().Add(time.Second))
	expect("it answers", nil, 3, "k1", true)
	clock.SetTime(clock.Now().Add(time.Hour))
	expect("once is enough", nil, 3, "k1", true)

	s.give("k2", nil)
	a.err = down
	clock.SetTime(clock.Now().Add(time.Minute))
	expect("new keys, STS is down", down, 4, "k1", false)
	s.give("k3", nil)
	a.err = nil
	clock.SetTime(clock.Now().Add(10 * time.Second))
	expect("newer keys are asked about at once", nil, 5, "k3", true)
}

func TestIdentifyInvalidatesStaleCredentials(t *testing.T) {
	s, a := &source{id: "k1"}, &fakeSTS{err: &sts.Error{Class: sts.StaleIdentity}}
	operator := identity.NewOperator(identity.Options{NewFetch: s.newFetch, STS: a, Clock: newClock()})
	if err := operator.Identify(context.Background()); err == nil {
		t.Error("no error")
	}
	s.give("k2", nil)
	if keys, err := operator.Credentials(context.Background()); err != nil || keys.AccessKeyID != "k2" {
		t.Errorf("got %v, %v", keys.AccessKeyID, err)
	}
}

func TestConcurrentIdentifyMakesOneCall(t *testing.T) {
	a := &fakeSTS{}
	operator := identity.NewOperator(identity.Options{NewFetch: (&source{id: "k1"}).newFetch, STS: a, Clock: newClock()})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if err := operator.Identify(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if a.calls != 1 {
		t.Errorf("%d calls, want 1", a.calls)
	}
}

func TestIdentifyReturnsWhenItsContextEnds(t *testing.T) {
	operator := identity.NewOperator(identity.Options{NewFetch: (&source{id: "k1"}).newFetch, STS: &fakeSTS{hang: true}, Clock: newClock()})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := operator.Identify(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := operator.Credentials(context.Background()); err != nil {
		t.Errorf("the error of Credentials is %v", err)
	}
}

func TestIdentifyWithoutCredentials(t *testing.T) {
	operator := identity.NewOperator(identity.Options{NewFetch: (&source{err: errSource}).newFetch, STS: &fakeSTS{}, Clock: newClock()})
	err := operator.Identify(context.Background())
	checkError(t, err)
}
