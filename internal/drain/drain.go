// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package drain lets running reconciles finish at shutdown, within a timeout.
package drain

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// Timeout is how long a running reconcile can continue at shutdown: long enough for a call to STS and for writing its response.
// The shutdown timeout of the manager and the pod's terminationGracePeriodSeconds must be longer.
const Timeout = 25 * time.Second

// Context returns the context of a reconcile. It has the deadline of ctx, and if ctx is canceled earlier, it ends Timeout later.
// So credentials that STS issues are written before the process ends. Call cancel at the end of the reconcile.
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
