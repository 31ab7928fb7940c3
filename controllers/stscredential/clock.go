// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// clockInterval is the interval between comparisons of the local clock with STS's.
	clockInterval = 10 * time.Second
	// clockStep is the change of the difference that puts the planned times in doubt.
	clockStep = 5 * time.Second
)

// wakeUp queues one credential.
type wakeUp = event.TypedGenericEvent[*v1alpha1.StsCredential]

// STS returns the time by STS's clock, as far as its answers have shown it. Implemented by *sts.Client.
type STS interface {
	Now() time.Time
	Skew() time.Duration
	GetCallerIdentity(ctx context.Context, keys credentials.Credentials) (sts.Caller, error)
}

// clockMonitor keeps the difference between the local clock and STS's right, in standby replicas too, and wakes every
// credential when it changes: the times of their next reconciles are wrong then. Only an answer of STS shows its
// time, so it calls GetCallerIdentity when the local clock was set, and until there was a first answer.
type clockMonitor struct {
	client.Reader
	sts      STS
	operator *identity.Operator
	budget   *ratelimit.Budget
	clock    clock.WithTicker
	// leading is closed once this replica works.
	leading <-chan struct{}
	// woken receives each credential, if this replica works, and onChange is called for it; onChange may be nil.
	woken    chan<- wakeUp
	onChange func(context.Context, *v1alpha1.StsCredential)
	// jump is by how much the local clock was set between two readings.
	jump func(before, after time.Time) time.Duration
}

// NeedLeaderElection is false: whoever takes over must know the time.
func (*clockMonitor) NeedLeaderElection() bool { return false }

// Start runs until ctx ends.
func (m *clockMonitor) Start(ctx context.Context) error {
	ticker := m.clock.NewTicker(clockInterval)
	defer ticker.Stop()
	planned, before, doubtful := m.sts.Skew(), m.clock.Now(), false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			after := m.clock.Now()
			jumped := m.jump(before, after).Abs() >= clockStep
			before = after
			doubtful = (jumped || doubtful) && !m.synced(ctx)
			_ = m.operator.Identify(ctx) // tried again until it is answered, with a backoff of its own
			// After a jump the timers are wrong even if the difference is not: the machine may have slept.
			if skew := m.sts.Skew(); jumped || (skew-planned).Abs() >= clockStep {
				planned = skew
				m.wakeAll(ctx)
			}
		}
	}
}

// synced reports whether STS answered, be it with a refusal, and so showed its time; or that the operator has no identity, so
// that it is left to the next call.
func (m *clockMonitor) synced(ctx context.Context) bool {
	keys, err := m.operator.Credentials(ctx)
	if err != nil {
		return true
	}
	caller, _ := m.operator.Caller()
	defer m.budget.Spend(caller.Account)
	_, err = m.sts.GetCallerIdentity(ctx, keys)
	var refused *sts.Error
	return err == nil || errors.As(err, &refused) && refused.Code != ""
}

// wallJump is by how much more the wall clock went on than time did.
func wallJump(before, after time.Time) time.Duration {
	return after.Round(0).Sub(before.Round(0)) - after.Sub(before)
}

func (m *clockMonitor) wakeAll(ctx context.Context) {
	select {
	case <-m.leading:
	default:
		return
	}
	var all v1alpha1.StsCredentialList
	if err := m.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	for i := range all.Items {
		select {
		case m.woken <- wakeUp{Object: &all.Items[i]}:
		case <-ctx.Done():
			return
		}
		if m.onChange != nil {
			m.onChange(ctx, &all.Items[i])
		}
	}
}
