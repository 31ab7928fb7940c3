// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
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

// clockWatch keeps the difference between the local clock and STS's right, in standby replicas too, and wakes every
// credential when it changes: the times of their next reconciles are wrong then. Only an answer of STS shows its
// time, so it asks who the operator is when the local clock was set, and until there was a first answer.
type clockWatch struct {
	*Reconciler
	// leading is closed once this replica works.
	leading <-chan struct{}
	// jump is by how much the local clock was set between two readings.
	jump func(before, after time.Time) time.Duration
}

// NeedLeaderElection is false: whoever takes over must know the time.
func (*clockWatch) NeedLeaderElection() bool { return false }

// Start runs until ctx ends.
func (w *clockWatch) Start(ctx context.Context) error {
	ticker := w.Clock.NewTicker(clockInterval)
	defer ticker.Stop()
	planned, before, doubtful := w.STS.Skew(), w.Clock.Now(), false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			after := w.Clock.Now()
			jumped := w.jump(before, after).Abs() >= clockStep
			before = after
			doubtful = (jumped || doubtful) && !w.asked(ctx)
			_ = w.Operator.Identify(ctx) // tried again until it is answered, with a backoff of its own
			// After a jump the timers are wrong even if the difference is not: the machine may have slept.
			if skew := w.STS.Skew(); jumped || (skew-planned).Abs() >= clockStep {
				planned = skew
				w.wakeAll(ctx)
			}
		}
	}
}

// asked reports whether STS answered, be it with a refusal, and so told its time; or that the operator has nobody to ask
// as, so that it is left to the next call.
func (w *clockWatch) asked(ctx context.Context) bool {
	keys, err := w.Operator.Credentials(ctx)
	if err != nil {
		return true
	}
	caller, _ := w.Operator.Caller()
	defer w.Budget.Spend(caller.Account)
	_, err = w.STS.GetCallerIdentity(ctx, keys)
	var refused *sts.Error
	return err == nil || errors.As(err, &refused) && refused.Code != ""
}

// wallJump is by how much more the wall clock went on than time did.
func wallJump(before, after time.Time) time.Duration {
	return after.Round(0).Sub(before.Round(0)) - after.Sub(before)
}

func (w *clockWatch) wakeAll(ctx context.Context) {
	select {
	case <-w.leading:
	default:
		return
	}
	var credentials v1alpha1.StsCredentialList
	if err := w.List(ctx, &credentials, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	for i := range credentials.Items {
		select {
		case w.wake <- wakeUp{Object: &credentials.Items[i]}:
		case <-ctx.Done():
			return
		}
		if w.OnClockChange != nil {
			w.OnClockChange(ctx, &credentials.Items[i])
		}
	}
}
