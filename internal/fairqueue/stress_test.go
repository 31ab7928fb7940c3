// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// heldWorkers take requests out of a queue, and keep each until it is released.
type heldWorkers struct {
	*testing.T
	q       *Queue
	state   uint64 // of number
	workers sync.WaitGroup
	release chan struct{} // a value for one request
	open    chan struct{} // closed to release them all

	mu          sync.Mutex
	added, seen map[reconcile.Request]int // the round in which a request was added last, and which its last reconcile found
}

func newHeldWorkers(t *testing.T, workers int) *heldWorkers {
	h := &heldWorkers{
		T:       t,
		q:       newQueue("", workers, clock.RealClock{}, ratelimit.NewBuckets[types.NamespacedName](time.Millisecond, 3, clock.RealClock{})),
		release: make(chan struct{}), open: make(chan struct{}),
		added: map[reconcile.Request]int{}, seen: map[reconcile.Request]int{},
	}
	for range workers {
		h.workers.Go(func() {
			for {
				request, shutdown := h.q.Get()
				if shutdown {
					return
				}
				h.mu.Lock()
				h.seen[request] = h.added[request]
				h.mu.Unlock()
				select {
				case <-h.release:
				case <-h.open:
				}
				h.q.Done(request)
			}
		})
	}
	return h
}

// number returns a number below n: a linear congruential generator, with the same numbers in each run.
func (h *heldWorkers) number(n int) int {
	h.state = h.state*6364136223846793005 + 1442695040888963407
	return int(h.state>>40) % n
}

// add adds a request in one of the ways in which that is done.
func (h *heldWorkers) add(request reconcile.Request, round int) {
	h.mu.Lock()
	h.added[request] = round
	h.mu.Unlock()
	switch h.number(4) {
	case 0:
		h.q.AddFirst(request)
	case 1:
		h.q.AddAfter(request, time.Duration(h.number(1000))*time.Microsecond)
	default:
		h.q.Add(request)
	}
}

// mostRunning returns the number of running requests of the namespace that has most of them.
func (h *heldWorkers) mostRunning() (most int) {
	h.q.order.mu.Lock()
	defer h.q.order.mu.Unlock()
	for _, n := range h.q.order.namespaces {
		most = max(most, n.running)
	}
	return most
}

// left counts the entries that are left in the queue.
func (h *heldWorkers) left() int {
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	h.q.order.mu.Lock()
	defer h.q.order.mu.Unlock()
	o := h.q.order
	return len(h.q.delayed) + len(o.namespaces) + len(o.waiting) + len(o.preferred) + o.running
}

// allReconciled reports whether each request has been reconciled since it was added last.
func (h *heldWorkers) allReconciled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Equal(h.added, h.seen)
}

func (h *heldWorkers) eventually(what string, condition func() bool) {
	h.Helper()
	if wait.PollUntilContextTimeout(h.Context(), 50*time.Microsecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return condition(), nil
	}) != nil {
		h.q.order.mu.Lock()
		defer h.q.order.mu.Unlock()
		h.Fatalf("%s: %d wait and %d are running", what, len(h.q.order.waiting), h.q.order.running)
	}
}

// In any order of requests that are added and end, what may start is started, no namespace has more than half of the workers,
// and each request is reconciled after it was added last.
func TestQueueLosesNothingAndNothingIsStuck(t *testing.T) {
	const rounds = 2000
	for _, workers := range []int{1, 2, 3, 8, 32} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			h := newHeldWorkers(t, workers)
			t.Cleanup(h.q.ShutDown)
			for round := range rounds {
				for range h.number(workers + 1) {
					h.add(requestOf(fmt.Sprint("n", h.number(6), "/", h.number(20))), round)
				}
				for range h.number(workers + 1) {
					select {
					case h.release <- struct{}{}:
					default:
					}
				}
				h.eventually("no worker starts what may start", func() bool { return h.q.Len() == 0 })
				if most := h.mostRunning(); most > (workers+1)/2 {
					t.Fatalf("a namespace has %d of %d workers", most, workers)
				}
			}
			close(h.open)
			// A delayed request that has become due is, for a moment, neither delayed nor queued.
			h.eventually("something is left", func() bool { return h.left() == 0 && h.allReconciled() })
			h.q.ShutDown()
			h.workers.Wait()
			for request, added := range h.added {
				if seen := h.seen[request]; seen != added {
					t.Errorf("%v was added in round %d, and reconciled last with round %d", request, added, seen)
				}
			}
		})
	}
}
