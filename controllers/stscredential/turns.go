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

// noTurns is how long to wait for a notification while nobody waits for a turn.
const noTurns = time.Minute

// newQueue returns the constructor of the controller's work queue, for a number of workers.
func (r *Reconciler) newQueue(workers int) func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
		r.requests = fairqueue.New(name, workers, r.Clock)
		return r.requests.RateLimited(limiter)
	}
}

// turnSource queues credentials whose turn in the budget has come, before the others of their namespaces: calls are kept for
// them meanwhile.
func (r *Reconciler) turnSource() source.Source {
	return source.Func(func(ctx context.Context, _ queue) error {
		go queueAdmitted(ctx, r.Budget, r.requests, r.Clock)
		return nil
	})
}

// queueAdmitted sleeps from turn to turn until ctx ends.
func queueAdmitted(ctx context.Context, budget *ratelimit.Budget, q *fairqueue.Queue, clock clock.WithTicker) {
	for {
		names, next := budget.Admitted()
		for _, name := range names {
			q.AddFirst(reconcile.Request{NamespacedName: name})
		}
		if next == 0 {
			next = noTurns
		}
		timer := clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-budget.Notify():
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
