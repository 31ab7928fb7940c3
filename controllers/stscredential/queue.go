// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"container/heap"
	"container/list"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// One object is reconciled reconcileBurst times at once and then once every reconcileEvery, whatever the cause: an event, a
// retry or a time that has come. The bound belongs to the name, and outlives the object.
const (
	reconcileBurst = 10
	reconcileEvery = 10 * time.Second
)

// newQueue returns the constructor of the controller's work queue, for a number of workers. The queue replaces
// controller-runtime's: that one has priorities, and what has the lower one is starved by what has the higher. In this one
// namespaces take turns (see fairOrder), and each object is paced. Delays run in real time, as in every other controller.
func (r *Reconciler) newQueue(workers int) func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
		pace := ratelimit.NewBuckets[types.NamespacedName](reconcileEvery, reconcileBurst, r.Clock)
		r.requests = newRequestQueue(name, workers, clock.RealClock{}, pace)
		return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{DelayingQueue: r.requests})
	}
}

// requestQueue is client-go's work queue with a fair order, a bound on how often each object comes out of it, and at most
// one delayed request per object: one that is reconciled, and so one that is deleted, leaves none behind.
type requestQueue struct {
	workqueue.TypedDelayingInterface[reconcile.Request]
	order   *fairOrder
	pace    *ratelimit.Buckets[types.NamespacedName]
	clock   clock.WithTicker
	delayed delayedRequests
	stop    chan struct{}
	once    sync.Once
}

func newRequestQueue(name string, workers int, clock clock.WithTicker, pace *ratelimit.Buckets[types.NamespacedName]) *requestQueue {
	q := &requestQueue{
		order: newFairOrder(workers), pace: pace, clock: clock,
		delayed: delayedRequests{byRequest: map[reconcile.Request]*delayedRequest{}, earlier: make(chan struct{}, 1)},
		stop:    make(chan struct{}),
	}
	q.TypedDelayingInterface = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{
		Name: name, Clock: clock, Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Clock: clock, Queue: q.order}),
	})
	go q.run()
	return q
}

// Add queues a request as soon as its object has a token.
func (q *requestQueue) Add(request reconcile.Request) {
	if wait := q.pace.Wait(request.NamespacedName); wait > 0 {
		q.delayed.add(request, q.clock.Now().Add(wait))
		return
	}
	q.TypedDelayingInterface.Add(request)
}

// AddAfter queues a request after a delay, or later if its object has no token then.
func (q *requestQueue) AddAfter(request reconcile.Request, delay time.Duration) {
	if delay <= 0 {
		q.Add(request)
		return
	}
	q.delayed.add(request, q.clock.Now().Add(max(delay, q.pace.Wait(request.NamespacedName))))
}

// AddFirst queues a request before all others of its namespace, whether its object has a token or not.
func (q *requestQueue) AddFirst(request reconcile.Request) {
	q.order.prefer(request)
	q.TypedDelayingInterface.Add(request)
}

// Get waits for a request whose turn has come. What was delayed for the same object until now is settled by it.
func (q *requestQueue) Get() (request reconcile.Request, shutdown bool) {
	request, shutdown = q.TypedDelayingInterface.Get()
	if !shutdown {
		q.delayed.remove(request)
		q.pace.Take(request.NamespacedName)
	}
	return request, shutdown
}

// Done ends what Get began. The worker that calls it must call Get next: client-go's queue wakes no other one, and fairOrder
// relies on that. See fairOrder.Len.
func (q *requestQueue) Done(request reconcile.Request) {
	q.order.ended(request.Namespace)
	q.TypedDelayingInterface.Done(request)
}

// ShutDown ends the queue. What is delayed is dropped.
func (q *requestQueue) ShutDown() {
	q.once.Do(func() { close(q.stop) })
	q.TypedDelayingInterface.ShutDown()
}

// run queues delayed requests when their time comes.
func (q *requestQueue) run() {
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

// delayedRequests holds requests until their time comes, at most one per object: the earliest.
type delayedRequests struct {
	mu        sync.Mutex
	byTime    delayedHeap
	byRequest map[reconcile.Request]*delayedRequest
	earlier   chan struct{} // another request has become the first
}

type delayedRequest struct {
	reconcile.Request
	at    time.Time
	index int
}

// idleDelay is how long to wait while nothing is delayed.
const idleDelay = time.Hour

func (d *delayedRequests) add(request reconcile.Request, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch known, ok := d.byRequest[request]; {
	case !ok:
		known = &delayedRequest{Request: request, at: at}
		d.byRequest[request] = known
		heap.Push(&d.byTime, known)
	case at.Before(known.at):
		known.at = at
		heap.Fix(&d.byTime, known.index)
	default:
		return
	}
	if d.byTime[0].Request == request {
		select {
		case d.earlier <- struct{}{}:
		default:
		}
	}
}

func (d *delayedRequests) remove(request reconcile.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byRequest[request]; ok {
		delete(d.byRequest, request)
		heap.Remove(&d.byTime, known.index)
	}
}

// due takes out the requests whose time has come, and returns how long it takes until the next one's does.
func (d *delayedRequests) due(now time.Time) (requests []reconcile.Request, next time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.byTime) > 0 {
		first := d.byTime[0]
		if wait := first.at.Sub(now); wait > 0 {
			return requests, wait
		}
		heap.Pop(&d.byTime)
		delete(d.byRequest, first.Request)
		requests = append(requests, first.Request)
	}
	return requests, idleDelay
}

// delayedHeap implements heap.Interface.
type delayedHeap []*delayedRequest

func (h delayedHeap) Len() int           { return len(h) }
func (h delayedHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delayedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *delayedHeap) Push(x any) {
	request := x.(*delayedRequest)
	request.index = len(*h)
	*h = append(*h, request)
}

// Pop implements heap.Interface.
func (h *delayedHeap) Pop() any {
	last := len(*h) - 1
	request := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return request
}

// fairOrder is the order in which requests leave the queue. The next one is of the namespace that has the fewest requests
// under way; of several such namespaces, of the one that has waited longest. Within a namespace it is first in, first out, but
// for requests that are preferred. A namespace has no more requests under way than it leaves free workers for the others: the
// first has half of the workers, the next half of what is left then, and so on, but at least one while any worker is free. So
// a namespace whose requests are many, or slow, delays its own. It takes several namespaces whose requests hang, six for 32
// workers, to occupy them all. Each operation takes constant time, but for a scan of at most as many levels as there are
// workers. It implements workqueue.Queue, and is safe for concurrent use.
type fairOrder struct {
	workers    int
	mu         sync.Mutex
	length     int                           // of those that wait
	underWay   int                           // in all namespaces
	namespaces map[string]*namespaceRequests // that have requests waiting or under way
	levels     []*list.List                  // of namespaces that have requests waiting, by the number of those under way
	waiting    map[reconcile.Request]*list.Element
	preferred  map[reconcile.Request]struct{} // that are not waiting yet
}

// namespaceRequests are the requests of one namespace.
type namespaceRequests struct {
	underWay    int
	first, rest list.List     // waiting; those of first go first
	element     *list.Element // in the level; nil while none waits
}

func newFairOrder(workers int) *fairOrder {
	return &fairOrder{
		workers: workers, namespaces: map[string]*namespaceRequests{},
		waiting: map[reconcile.Request]*list.Element{}, preferred: map[reconcile.Request]struct{}{},
	}
}

// Len returns how many requests wait, or 0 while no namespace may start another: then client-go's queue lets its workers sleep.
//
// No worker sleeps while there is something for it to start. Let s be the number of requests that could be started one after
// the other. Push raises s by one at most, and client-go's queue wakes one worker for it. ended raises s by one at most,
// because it frees one worker, and the worker that calls it calls Get next. Pop lowers s by one. So s is never more than the
// workers that are awake and not busy.
func (o *fairOrder) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next() == nil {
		return 0
	}
	return o.length
}

// Push lets a request wait that does not yet.
func (o *fairOrder) Push(request reconcile.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ok := o.namespaces[request.Namespace]
	if !ok {
		n = &namespaceRequests{}
		o.namespaces[request.Namespace] = n
	}
	o.length++
	o.insert(n, request)
	if n.element == nil {
		n.element = o.level(n.underWay).PushBack(n)
	}
}

// Touch is called for a request that waits and is added again: it goes forward if it is preferred now.
func (o *fairOrder) Touch(request reconcile.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, preferred := o.preferred[request]; !preferred {
		return
	}
	if element, waiting := o.waiting[request]; waiting {
		n := o.namespaces[request.Namespace]
		n.remove(element)
		o.insert(n, request)
	}
}

// Pop takes out the request whose turn it is; Len must not be 0.
func (o *fairOrder) Pop() reconcile.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.next()
	front := n.first.Front()
	if front == nil {
		front = n.rest.Front()
	}
	request := n.remove(front)
	o.length--
	o.underWay++
	delete(o.waiting, request)
	o.move(n, n.underWay+1)
	return request
}

// ended says that a request of a namespace is no longer under way.
func (o *fairOrder) ended(namespace string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ok := o.namespaces[namespace]
	if !ok {
		return
	}
	o.underWay--
	if o.move(n, n.underWay-1); n.underWay == 0 && n.element == nil {
		delete(o.namespaces, namespace)
	}
}

// prefer has a request go before the others of its namespace when it is pushed or touched.
func (o *fairOrder) prefer(request reconcile.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.preferred[request] = struct{}{}
}

// insert puts a request behind those that wait like it.
func (o *fairOrder) insert(n *namespaceRequests, request reconcile.Request) {
	to := &n.rest
	if _, preferred := o.preferred[request]; preferred {
		delete(o.preferred, request)
		to = &n.first
	}
	o.waiting[request] = to.PushBack(request)
}

// next returns the namespace whose turn it is, or nil if none may start a request.
func (o *fairOrder) next() *namespaceRequests {
	free := o.workers - o.underWay
	for underWay, level := range o.levels {
		if underWay >= free {
			return nil
		}
		if front := level.Front(); front != nil {
			return front.Value.(*namespaceRequests)
		}
	}
	return nil
}

// move puts a namespace behind the others that have as many requests under way, if it has requests waiting.
func (o *fairOrder) move(n *namespaceRequests, underWay int) {
	if n.element != nil {
		o.level(n.underWay).Remove(n.element)
		n.element = nil
	}
	n.underWay = underWay
	if n.first.Len()+n.rest.Len() > 0 {
		n.element = o.level(underWay).PushBack(n)
	}
}

func (o *fairOrder) level(underWay int) *list.List {
	for len(o.levels) <= underWay {
		o.levels = append(o.levels, list.New())
	}
	return o.levels[underWay]
}

// remove takes out a request, from whichever of the two lists it is in.
func (n *namespaceRequests) remove(element *list.Element) reconcile.Request {
	n.first.Remove(element)
	n.rest.Remove(element)
	return element.Value.(reconcile.Request)
}
