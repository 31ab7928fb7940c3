// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package drain lets work that is under way when the process is asked to end go on for a bounded time.
package drain

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// Timeout is how long a reconcile that is under way when the process is asked to end may go on: long enough for a call to STS
// and to write its answer. The manager must wait for longer, and the pod's terminationGracePeriodSeconds be more.
const Timeout = 25 * time.Second

// Context returns the context for the work of one reconcile: it keeps the deadline of ctx, and where ctx is canceled before, it
// ends Timeout later. So credentials that STS issues are written before the process ends. cancel must be called.
func Context(ctx context.Context, clock clock.WithTicker) (work context.Context, cancel context.CancelFunc) {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	if deadline, set := ctx.Deadline(); set {
		end()
		work, end = context.WithDeadline(context.WithoutCancel(ctx), deadline)
	}
	keep := context.AfterFunc(ctx, func() {
		timer := clock.NewTimer(Timeout)
		defer timer.Stop()
		select {
		case <-timer.C():
			end()
		case <-work.Done():
		}
	})
	return work, func() { keep(); end() }
}
