// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"cmp"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/third_party/forked/golang/btree"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// delayedRequests holds requests until their time comes, at most one per object: the earliest.
type delayedRequests struct {
	mu        sync.Mutex
	byTime    *btree.BTree[delayedRequest]
	byRequest map[reconcile.Request]time.Time
	earlier   chan struct{} // another request has become the first
}

type delayedRequest struct {
	reconcile.Request
	at time.Time
}

// idleDelay is how long to wait while nothing is delayed.
const idleDelay = time.Hour

func newDelayedRequests() *delayedRequests {
	const degree = 32
	return &delayedRequests{
		byTime: btree.New(degree, func(a, b delayedRequest) bool {
			return cmp.Or(a.at.Compare(b.at), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name)) < 0
		}),
		byRequest: map[reconcile.Request]time.Time{}, earlier: make(chan struct{}, 1),
	}
}

func (d *delayedRequests) add(request reconcile.Request, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byRequest[request]; ok {
		if !at.Before(known) {
			return
		}
		d.byTime.Delete(delayedRequest{request, known})
	}
	d.byRequest[request] = at
	d.byTime.ReplaceOrInsert(delayedRequest{request, at})
	if first, _ := d.byTime.Min(); first.Request == request {
		select {
		case d.earlier <- struct{}{}:
		default:
		}
	}
}

func (d *delayedRequests) remove(request reconcile.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.byRequest[request]; ok {
		delete(d.byRequest, request)
		d.byTime.Delete(delayedRequest{request, at})
	}
}

// due takes out the requests whose time has come, and returns how long it takes until the next one's does.
func (d *delayedRequests) due(now time.Time) (requests []reconcile.Request, next time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.byTime.Len() > 0 {
		first, _ := d.byTime.Min()
		if wait := first.at.Sub(now); wait > 0 {
			return requests, wait
		}
		d.byTime.DeleteMin()
		delete(d.byRequest, first.Request)
		requests = append(requests, first.Request)
	}
	return requests, idleDelay
}
