// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"k8s.io/utils/third_party/forked/golang/btree"
)

// Claim is a claim for a call, with what decides its position in the queue.
type Claim struct {
	// NamespacedName is the StsCredential's: it claims one call at a time.
	types.NamespacedName
	// Expires is the expiration of its current credentials; zero if there are none.
	Expires time.Time
	// First: the call is a first issuance. Implied by a zero Expires.
	First bool
}

// Of ten admissions, one is reserved for first issuances, four go to the namespaces round robin, and five to the earliest
// expiration. An admission without such a claim goes to the others.
const (
	admissionCycle  = 10
	roundRobinEvery = 2 // every second admission is round robin, except the one of first issuances
)

// queue holds the waiting claims of an account, and decides which is next. It knows neither time nor limits.
type queue struct {
	renewals   *flow // claims with an expiration
	firsts     *flow // first issuances; a claim can be in both flows
	waiting    int
	admissions uint64 // number of admissions so far
}

// waiter is a waiting or admitted claim.
type waiter struct {
	Claim
	account       *account
	arrival       uint64    // sequence number
	since         time.Time // when it arrived
	dropAt        time.Time // when it is dropped unless it is repeated
	admitted      bool
	reservedUntil time.Time // when its reservation expires
	flow          *flow     // in which it was admitted
	before        position  // of its namespace in that flow before that
}

func newQueue() *queue {
	return &queue{renewals: newFlow(expiresFirst), firsts: newFlow(arrivedFirst)}
}

func expiresFirst(a, b *waiter) bool {
	return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.arrival, b.arrival)) < 0
}

func arrivedFirst(a, b *waiter) bool { return a.arrival < b.arrival }

// push adds w. While it waits, its claim must not change.
func (q *queue) push(w *waiter) {
	q.waiting++
	if !w.Expires.IsZero() {
		q.renewals.push(w, q.admissions)
	}
	if w.First || w.Expires.IsZero() {
		q.firsts.push(w, q.admissions)
	}
}

// requeue adds w again, which was admitted and made no call. Its namespace gets its earlier position.
func (q *queue) requeue(w *waiter) {
	q.push(w)
	if w.flow == nil {
		return
	}
	if n := w.flow.namespaces[w.Namespace]; n != nil && w.before.compare(n.position) < 0 {
		n.position = w.before
	}
}

// remove removes w, which must be waiting.
func (q *queue) remove(w *waiter) {
	q.waiting--
	q.renewals.remove(w)
	q.firsts.remove(w)
}

// pop removes and returns the next claim; one must be waiting.
func (q *queue) pop() *waiter {
	q.admissions++
	w, of := q.next()
	n := of.namespaces[w.Namespace]
	w.flow, w.before = of, n.position
	n.admission = q.admissions
	q.remove(w)
	return w
}

// next returns the next claim, and the flow from which it is admitted.
func (q *queue) next() (*waiter, *flow) {
	admission := q.admissions % admissionCycle
	if len(q.firsts.namespaces) > 0 && (admission == 0 || len(q.renewals.namespaces) == 0) {
		return q.firsts.next(), q.firsts
	}
	if admission%roundRobinEvery == 0 {
		return q.renewals.next(), q.renewals
	}
	return q.renewals.first(), q.renewals
}

// maxPositions is the number of namespaces without waiting claims whose position a flow keeps.
const maxPositions = 1000

// flow serves namespaces round robin: the next is the one whose last admission is the oldest, including the renewals that are
// admitted for their expiration. A namespace keeps its position without waiting claims, so that a single claim that is
// canceled and repeated loses nothing.
type flow struct {
	less       btree.LessFunc[*waiter]
	namespaces map[string]*namespaceQueue // with waiting claims
	positions  *lru.Cache                 // namespace -> position, without waiting claims
}

// position is the position of a namespace in a flow.
type position struct {
	admission uint64 // its last one; of a new namespace, the last one of all
	arrival   uint64 // of its first claim, which orders new namespaces
}

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.admission, other.admission), cmp.Compare(p.arrival, other.arrival))
}

// namespaceQueue holds the waiting claims of a namespace in a flow.
type namespaceQueue struct {
	position
	waiting *btree.BTree[*waiter]
}

func newFlow(less btree.LessFunc[*waiter]) *flow {
	return &flow{less: less, namespaces: map[string]*namespaceQueue{}, positions: lru.New(maxPositions)}
}

func (f *flow) push(w *waiter, admissions uint64) {
	n, ok := f.namespaces[w.Namespace]
	if !ok {
		const degree = 8 // for trees that are mostly small
		n = &namespaceQueue{position: position{admissions, w.arrival}, waiting: btree.New(degree, f.less)}
		if known, ok := f.positions.Get(w.Namespace); ok {
			n.position = known.(position)
			f.positions.Remove(w.Namespace)
		}
		f.namespaces[w.Namespace] = n
	}
	n.waiting.ReplaceOrInsert(w)
}

// remove removes w, if it is in this flow.
func (f *flow) remove(w *waiter) {
	n, ok := f.namespaces[w.Namespace]
	if !ok {
		return
	}
	if n.waiting.Delete(w); n.waiting.Len() == 0 {
		delete(f.namespaces, w.Namespace)
		f.positions.Add(w.Namespace, n.position)
	}
}

// next returns the first claim of the next namespace; there must be one.
func (f *flow) next() *waiter {
	var next *namespaceQueue
	for _, n := range f.namespaces {
		if next == nil || n.compare(next.position) < 0 {
			next = n
		}
	}
	w, _ := next.waiting.Min()
	return w
}

// first returns the first claim of all namespaces; there must be one.
func (f *flow) first() (first *waiter) {
	for _, n := range f.namespaces {
		if w, _ := n.waiting.Min(); first == nil || f.less(w, first) {
			first = w
		}
	}
	return first
}
