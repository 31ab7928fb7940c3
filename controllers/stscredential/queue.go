// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// idleWait is how long to wait for a notification while no call waits for the budget.
const idleWait = time.Minute

// admissions queues credentials whose call to STS the budget has admitted, before the others of their namespaces: the call is
// reserved for them meanwhile.
type admissions struct {
	budget   *ratelimit.Budget
	clock    clock.WithTicker
	requests *fairqueue.Queue
}

// newQueue returns the constructor of the controller's work queue, for a number of workers.
func (a *admissions) newQueue(workers int) func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
		a.requests = fairqueue.New(name, workers, a.clock)
		return a.requests.RateLimited(limiter)
	}
}

// Start implements source.Source.
func (a *admissions) Start(ctx context.Context, _ queue) error {
	go a.run(ctx)
	return nil
}

// run sleeps from admission to admission until ctx ends.
func (a *admissions) run(ctx context.Context) {
	for {
		names, next := a.budget.Admitted()
		for _, name := range names {
			a.requests.AddFirst(reconcile.Request{NamespacedName: name})
		}
		if next == 0 {
			next = idleWait
		}
		timer := a.clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-a.budget.Notify():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// earlySource queues the credentials that are to be renewed early.
func earlySource(early *renewal.Early) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		go func() {
			for {
				select {
				case key := <-early.Requests():
					q.Add(reconcile.Request{NamespacedName: key})
				case <-ctx.Done():
					return
				}
			}
		}()
		return nil
	})
}
