// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// turnPriority puts those whose turn has come before all others on the queue: calls are kept for them meanwhile.
	turnPriority = 100
	// noTurns is how long to wait for news while nobody waits for a turn.
	noTurns = time.Minute
)

// turnSource queues credentials whose turn in the budget has come.
func (r *Reconciler) turnSource() source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		go r.callTurns(ctx, q)
		return nil
	})
}

// callTurns sleeps from turn to turn until ctx ends.
func (r *Reconciler) callTurns(ctx context.Context, q queue) {
	for {
		names, next := r.Budget.Turns()
		for _, name := range names {
			first(q, reconcile.Request{NamespacedName: name})
		}
		if next == 0 {
			next = noTurns
		}
		timer := r.Clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-r.Budget.News():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// first queues a request before all others, if the queue knows priorities.
func first(q queue, request reconcile.Request) {
	if priorities, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		priorities.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(turnPriority)}, request)
		return
	}
	q.Add(request)
}
