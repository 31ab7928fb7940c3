// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fairqueue is the work queue of the controllers: namespaces share the workers, and each object is paced.
package fairqueue

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// One object is reconciled in a burst of ReconcileBurst, and then once per ReconcileEvery, for events, retries and requeues
// alike. AddFirst is exempt. The limit belongs to the name, so that deleting and creating the object does not reset it.
const (
	ReconcileBurst = 10
	ReconcileEvery = 10 * time.Second
)

// Queue is client-go's work queue with a fair order (see fairOrder), a bound on how often each object comes out of it, and at
// most one delayed request per object: one that is reconciled, and so one that is deleted, leaves none behind. It replaces
// controller-runtime's queue, which has priorities: there, requests of a higher priority can starve those of a lower one.
// Delays run in real time, as in every other controller.
type Queue struct {
	workqueue.TypedDelayingInterface[reconcile.Request]
	order *fairOrder
	pace  *ratelimit.Buckets[types.NamespacedName]
	clock clock.WithTickerAndDelayedExecution

	mu      sync.Mutex
	delayed map[reconcile.Request]delayedRequest
}

// delayedRequest is a request whose time has not come.
type delayedRequest struct {
	at    time.Time
	timer clock.Timer
}

// New returns a queue for a number of workers. Objects are paced by the clock. name is that of the controller, for metrics.
func New(name string, workers int, pace clock.PassiveClock) *Queue {
	return newQueue(name, workers, clock.RealClock{}, ratelimit.NewBuckets[types.NamespacedName](ReconcileEvery, ReconcileBurst, pace))
}

func newQueue(name string, workers int, clock clock.WithTickerAndDelayedExecution, pace *ratelimit.Buckets[types.NamespacedName]) *Queue {
	q := &Queue{order: newFairOrder(workers), pace: pace, clock: clock, delayed: map[reconcile.Request]delayedRequest{}}
	q.TypedDelayingInterface = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{
		Name: name, Clock: clock, Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Clock: clock, Queue: q.order}),
	})
	return q
}

// Add queues a request as soon as its object has a token.
func (q *Queue) Add(request reconcile.Request) {
	if wait := q.pace.Wait(request.NamespacedName); wait > 0 {
		q.delay(request, wait)
		return
	}
	q.TypedDelayingInterface.Add(request)
}

// AddAfter queues a request after a delay, or later if its object has no token then.
func (q *Queue) AddAfter(request reconcile.Request, delay time.Duration) {
	if delay <= 0 {
		q.Add(request)
		return
	}
	q.delay(request, max(delay, q.pace.Wait(request.NamespacedName)))
}

// AddFirst queues a request before all others of its namespace, whether its object has a token or not.
func (q *Queue) AddFirst(request reconcile.Request) {
	q.order.prefer(request)
	q.TypedDelayingInterface.Add(request)
}

// Get waits for the next request. It removes a delayed request for the same object, because this reconcile replaces it.
func (q *Queue) Get() (request reconcile.Request, shutdown bool) {
	request, shutdown = q.TypedDelayingInterface.Get()
	if !shutdown {
		q.cancelDelayed(request)
		q.pace.Acquire(request.NamespacedName)
	}
	return request, shutdown
}

// Done ends what Get began. The worker that calls it must call Get next: client-go's queue wakes no other one, and fairOrder
// relies on that. See fairOrder.Len.
func (q *Queue) Done(request reconcile.Request) {
	q.order.ended(request.Namespace)
	q.TypedDelayingInterface.Done(request)
}

// delay queues a request later, unless it is delayed for a shorter time already.
func (q *Queue) delay(request reconcile.Request, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := q.clock.Now().Add(wait)
	if known, ok := q.delayed[request]; ok {
		if !at.Before(known.at) {
			return
		}
		known.timer.Stop()
	}
	q.delayed[request] = delayedRequest{at, q.clock.AfterFunc(wait, func() {
		if q.isDue(request, at) {
			q.TypedDelayingInterface.AddAfter(request, 0) // at once, and counted as a retry
		}
	})}
}

// isDue removes the request that was delayed until then. It returns false if that was canceled or replaced meanwhile.
func (q *Queue) isDue(request reconcile.Request, at time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known, ok := q.delayed[request]
	if !ok || !known.at.Equal(at) {
		return false
	}
	delete(q.delayed, request)
	return true
}

func (q *Queue) cancelDelayed(request reconcile.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if known, ok := q.delayed[request]; ok {
		known.timer.Stop()
		delete(q.delayed, request)
	}
}
