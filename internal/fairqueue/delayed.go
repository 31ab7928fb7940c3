// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"container/heap"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

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
