// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestConcurrentCallersShareOneCall(t *testing.T) {
	w := newAccessKeyEnv(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if caller, err := identified(context.Background(), w.keys, "shop", ramUser); err != nil || caller.Caller.Account != account {
				t.Errorf("got %+v, %v", caller.Caller, err)
			}
		})
	}
	wg.Wait()
	if n := w.called("GetCallerIdentity"); n != 1 {
		t.Errorf("asked %d times who it is, want 1", n)
	}
}

func TestRolesAreAssumedWithoutTheCallersIdentity(t *testing.T) {
	w := newAccessKeyEnv(t)
	w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InternalError", Action: "GetCallerIdentity"})
	expect := func(story, account string, calls int) {
		t.Helper()
		caller := w.identity(t)
		w.expectAssumes(t, caller)
		if n := w.called("GetCallerIdentity"); n != calls || caller.Caller.Account != account {
			t.Errorf("%s: account %s after %d calls, want %s after %d", story, caller.Caller.Account, n, account, calls)
		}
	}
	expect("STS fails", "unaccepted/shop", 1)
	expect("it is not asked again at once", "unaccepted/shop", 1)
	w.clock.SetTime(w.clock.Now().Add(10 * time.Second))
	expect("but after ten seconds", "unaccepted/shop", 2)
	w.clock.SetTime(w.clock.Now().Add(19 * time.Second))
	expect("then twenty", "unaccepted/shop", 2)
	w.emulator.Clear()
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	expect("it answers", account, 3)
}

func TestHangingSTSDoesNotBlockAccessKeys(t *testing.T) {
	user := stsemulator.AccessKey{ID: "LTAI5tHangsHangsHangs123", Secret: "secret"}
	options := identity.AccessKeysOptions{
		Reader: fake.NewClientBuilder().WithObjects(secretOf(user)).Build(), STS: &fakeSTS{hang: true}, Clock: newClock(), Timeout: 20 * time.Millisecond,
	}
	caller, err := identified(context.Background(), identity.NewAccessKeys(options), "shop", ramUser)
	if err != nil || caller.Caller.Account != "unaccepted/shop" {
		t.Errorf("got %+v, %v", caller.Caller, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	options.Timeout = 0
	if _, err := identified(ctx, identity.NewAccessKeys(options), "shop", ramUser); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a canceled call returns %v", err)
	}
}
