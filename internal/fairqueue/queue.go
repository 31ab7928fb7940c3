// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fairqueue is the work queue of the controllers: namespaces take turns, and each object is paced.
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
	order   *fairOrder
	pace    *ratelimit.Buckets[types.NamespacedName]
	clock   clock.WithTicker
	delayed *delayedRequests
	stop    chan struct{}
	once    sync.Once
}

// New returns a queue for a number of workers. Objects are paced by the clock. name is that of the controller, for metrics.
func New(name string, workers int, pace clock.PassiveClock) *Queue {
	return newQueue(name, workers, clock.RealClock{}, ratelimit.NewBuckets[types.NamespacedName](ReconcileEvery, ReconcileBurst, pace))
}

func newQueue(name string, workers int, clock clock.WithTicker, pace *ratelimit.Buckets[types.NamespacedName]) *Queue {
	q := &Queue{
		order: newFairOrder(workers), pace: pace, clock: clock, delayed: newDelayedRequests(), stop: make(chan struct{}),
	}
	q.TypedDelayingInterface = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{
		Name: name, Clock: clock, Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Clock: clock, Queue: q.order}),
	})
	go q.run()
	return q
}

// RateLimited returns the queue with a limiter for retries, as a controller wants it.
func (q *Queue) RateLimited(limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{DelayingQueue: q})
}

// Add queues a request as soon as its object has a token.
func (q *Queue) Add(request reconcile.Request) {
	if wait := q.pace.Wait(request.NamespacedName); wait > 0 {
		q.delayed.add(request, q.clock.Now().Add(wait))
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
	q.delayed.add(request, q.clock.Now().Add(max(delay, q.pace.Wait(request.NamespacedName))))
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
		q.delayed.remove(request)
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

// ShutDown ends the queue. What is delayed is dropped.
func (q *Queue) ShutDown() {
	q.once.Do(func() { close(q.stop) })
	q.TypedDelayingInterface.ShutDown()
}

// run queues delayed requests when their time comes.
func (q *Queue) run() {
	for {
		due, next := q.delayed.due(q.clock.Now())
		for _, request := range due {
			q.TypedDelayingInterface.AddAfter(request, 0) // at once, and counted as a retry
		}
		timer := q.clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-q.delayed.earlier:
		case <-q.stop:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}
