// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
)

// noTurns is how long to wait for news while nobody waits for a turn.
const noTurns = time.Minute

// turnSource queues credentials whose turn in the budget has come, before the others of their namespaces: calls are kept for
// them meanwhile.
func (r *Reconciler) turnSource() source.Source {
	return source.Func(func(ctx context.Context, _ queue) error {
		go r.callTurns(ctx, r.requests)
		return nil
	})
}

// callTurns sleeps from turn to turn until ctx ends.
func (r *Reconciler) callTurns(ctx context.Context, q *fairqueue.Queue) {
	for {
		names, next := r.Budget.Admitted()
		for _, name := range names {
			q.AddFirst(reconcile.Request{NamespacedName: name})
		}
		if next == 0 {
			next = noTurns
		}
		timer := r.Clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-r.Budget.Notify():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}
