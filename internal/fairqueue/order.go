// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"container/list"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// fairOrder determines the order of requests. The next request belongs to the namespace with the fewest running requests. Of
// several such namespaces, it belongs to the one that has waited longest. Within a namespace, preferred requests come first,
// and the others are first in, first out. A namespace has no more running requests than it leaves workers free: the first
// has half of the workers, the next half of the rest, and so on, but at least one while a worker is free. So many or slow
// requests of a namespace delay only that namespace. For 32 workers, requests of six namespaces must hang to occupy all of
// them. fairOrder implements workqueue.Queue. It is safe for concurrent use.
type fairOrder struct {
	workers    int
	mu         sync.Mutex
	running    int                           // in all namespaces
	namespaces map[string]*namespaceRequests // that have requests waiting or running
	ready      list.List                     // namespaces with waiting requests: the first has waited longest
	waiting    map[reconcile.Request]*list.Element
	preferred  map[reconcile.Request]struct{} // that are not waiting yet
}

// namespaceRequests are the requests of one namespace.
type namespaceRequests struct {
	running     int
	first, rest list.List     // waiting; those of first go first
	element     *list.Element // in ready; nil while none waits
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
	return len(o.waiting)
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
	o.insert(n, request)
	if n.element == nil {
		n.element = o.ready.PushBack(n)
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

// Pop takes out the next request; Len must not be 0.
func (o *fairOrder) Pop() reconcile.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.next()
	front := n.first.Front()
	if front == nil {
		front = n.rest.Front()
	}
	request := n.remove(front)
	delete(o.waiting, request)
	o.running++
	n.running++
	if o.ready.MoveToBack(n.element); n.first.Len()+n.rest.Len() == 0 {
		o.ready.Remove(n.element)
		n.element = nil
	}
	return request
}

// ended records that a running request of a namespace has ended.
func (o *fairOrder) ended(namespace string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ok := o.namespaces[namespace]
	if !ok {
		return
	}
	o.running--
	if n.running--; n.running == 0 && n.element == nil {
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

// next returns the namespace of the next request, or nil if none may start one. It skips only namespaces with running requests:
// at most as many as there are workers.
func (o *fairOrder) next() *namespaceRequests {
	var next *namespaceRequests
	for e := o.ready.Front(); e != nil && (next == nil || next.running > 0); e = e.Next() {
		if n := e.Value.(*namespaceRequests); next == nil || n.running < next.running {
			next = n
		}
	}
	if next == nil || next.running >= o.workers-o.running {
		return nil
	}
	return next
}

// remove takes out a request, from whichever of the two lists it is in.
func (n *namespaceRequests) remove(element *list.Element) reconcile.Request {
	n.first.Remove(element)
	n.rest.Remove(element)
	return element.Value.(reconcile.Request)
}
