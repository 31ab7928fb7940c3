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
	// clockStep is the change of the clock skew from which on all StsCredentials are reconciled again.
	clockStep = 5 * time.Second
)

// wakeUp queues one credential.
type wakeUp = event.TypedGenericEvent[*v1alpha1.StsCredential]

// STSClock returns the time by STS's clock: the local time plus the skew in the newest response. It is implemented by
// *sts.Client.
type STSClock interface {
	Now() time.Time
	Skew() time.Duration
	GetCallerIdentity(ctx context.Context, keys credentials.Credentials) (sts.Caller, error)
}

// clockMonitor keeps the skew between the local clock and STS's clock up to date, in standby replicas, too. When the skew
// changes, the planned times are wrong, so it queues all StsCredentials. Only a response of STS contains STS's time. So the
// monitor calls GetCallerIdentity after the local clock was set, and until STS has responded for the first time.
type clockMonitor struct {
	client.Reader
	sts      STSClock
	operator *identity.Operator
	budget   *ratelimit.Budget
	clock    clock.WithTicker
	// elected is closed once this replica works.
	elected <-chan struct{}
	// woken receives each credential, if this replica works, and onChange is called for it; onChange may be nil.
	woken    chan<- wakeUp
	onChange func(context.Context, *v1alpha1.StsCredential)
	// jump is by how much the local clock was set between two readings.
	jump func(before, after time.Time) time.Duration
}

// NeedLeaderElection returns false: a standby replica must know STS's time when it becomes the leader.
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

// synced calls GetCallerIdentity, and reports whether STS responded: an error code is a response, too, and contains STS's
// time. It returns true without a call if the operator has no credentials; the next call to STS then corrects the skew.
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

// wallJump returns by how much the wall clock was set between two readings: wall-clock time minus monotonic time.
func wallJump(before, after time.Time) time.Duration {
	return after.Round(0).Sub(before.Round(0)) - after.Sub(before)
}

func (m *clockMonitor) wakeAll(ctx context.Context) {
	select {
	case <-m.elected:
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
