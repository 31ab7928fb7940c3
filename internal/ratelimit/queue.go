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

// Claim is a call that somebody wants to make, and what decides whose turn it is while the budget is short.
type Claim struct {
	// NamespacedName is the credential's: it claims one call at a time.
	types.NamespacedName
	// Expires is when what it has expires; zero if it has nothing that would.
	Expires time.Time
	// First: it does not have what it wants yet. So it is taken for where Expires is zero.
	First bool
}

// Of ten turns while some wait, one is kept for first issues and four go to the namespaces in turn; five go to the
// earliest expiry of all. A turn that nobody waits for goes to the others.
const (
	turnsInAll   = 10
	turnsInOrder = 2 // every second one, but for the one of first issues
)

// queue is those who wait for the calls of one account. It knows no time and no limit: it says who goes first.
type queue struct {
	earliest *btree.BTree[*waiter] // all that have something that expires
	renewals *lane                 // the same, by namespace
	firsts   *lane                 // first issues, by namespace; a waiter may stand in both lanes
	waiting  int
	turns    uint64 // that were given
}

// waiter is a claim that waits, or whose turn has come.
type waiter struct {
	Claim
	account *account
	arrival uint64    // numbers those that came, in their order
	since   time.Time // when it came
	back    time.Time // when it is given up while it waits, should it not come back
	called  bool      // its turn has come
	lapses  time.Time // when that is over
	lane    *lane     // in which its turn came
	before  place     // of its namespace in that lane until then
}

func newQueue() *queue {
	return &queue{earliest: btree.New(degree, expiresFirst), renewals: newLane(expiresFirst), firsts: newLane(cameFirst)}
}

// degree is of trees that are mostly small.
const degree = 8

func expiresFirst(a, b *waiter) bool {
	return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.arrival, b.arrival)) < 0
}

func cameFirst(a, b *waiter) bool { return a.arrival < b.arrival }

// push lets w wait. While it does, its claim must not change.
func (q *queue) push(w *waiter) {
	q.waiting++
	if !w.Expires.IsZero() {
		q.earliest.ReplaceOrInsert(w)
		q.renewals.push(w, q.turns)
	}
	if w.First || w.Expires.IsZero() {
		q.firsts.push(w, q.turns)
	}
}

// putBack lets w, whose turn came and was not used, wait again. Its namespace has the place that it had before.
func (q *queue) putBack(w *waiter) {
	q.push(w)
	if w.lane != nil {
		w.lane.restore(w.Namespace, w.before)
	}
}

// remove takes out w, which waits.
func (q *queue) remove(w *waiter) {
	q.waiting--
	q.earliest.Delete(w)
	q.renewals.remove(w)
	q.firsts.remove(w)
}

// pop takes out whoever's turn it is; somebody must wait.
func (q *queue) pop() *waiter {
	q.turns++
	w, of := q.next()
	w.lane, w.before = of, of.placeOf(w.Namespace)
	q.remove(w)
	of.move(w.Namespace, place{q.turns, w.before.arrival})
	return w
}

// next is whoever's turn it is, and the lane that it counts in.
func (q *queue) next() (*waiter, *lane) {
	turn := q.turns % turnsInAll
	if !q.firsts.empty() && (turn == 0 || q.renewals.empty()) {
		return q.firsts.next(), q.firsts
	}
	if turn%turnsInOrder == 0 {
		return q.renewals.next(), q.renewals
	}
	w, _ := q.earliest.Min()
	return w, q.renewals
}

// maxPlaces is the number of namespaces without a waiter whose place a lane remembers.
const maxPlaces = 1000

// lane lets namespaces take turns: it is that one's whose last turn is longest ago. For renewals, those that come by the
// earliest expiry count, too. A namespace keeps its place while nobody of it waits, so that one with a single waiter loses
// nothing when that waiter leaves and comes back.
type lane struct {
	less       btree.LessFunc[*waiter]
	namespaces map[string]*tenant // that have somebody waiting
	order      *btree.BTree[*tenant]
	places     *lru.Cache // namespace -> place, of those that have nobody waiting
}

// place decides which namespace goes first. The zero place goes before all others.
type place struct {
	turn    uint64 // its last; of one that has just come, the last of all
	arrival uint64 // of whoever came first: the order of those who have just come
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.turn, other.turn), cmp.Compare(p.arrival, other.arrival))
}

// tenant is a namespace's part of a lane.
type tenant struct {
	place
	namespace string
	waiting   *btree.BTree[*waiter]
}

func newLane(less btree.LessFunc[*waiter]) *lane {
	return &lane{
		less: less, namespaces: map[string]*tenant{}, places: lru.New(maxPlaces),
		order: btree.New(degree, func(a, b *tenant) bool { return a.compare(b.place) < 0 }),
	}
}

func (l *lane) empty() bool { return len(l.namespaces) == 0 }

func (l *lane) push(w *waiter, turn uint64) {
	t, ok := l.namespaces[w.Namespace]
	if !ok {
		t = &tenant{namespace: w.Namespace, place: place{turn, w.arrival}, waiting: btree.New(degree, l.less)}
		if known, ok := l.places.Get(w.Namespace); ok {
			t.place = known.(place)
			l.places.Remove(w.Namespace)
		}
		l.namespaces[w.Namespace] = t
		l.order.ReplaceOrInsert(t)
	}
	t.waiting.ReplaceOrInsert(w)
}

// remove takes out w, if it stands in this lane.
func (l *lane) remove(w *waiter) {
	t, ok := l.namespaces[w.Namespace]
	if !ok {
		return
	}
	if t.waiting.Delete(w); t.waiting.Len() == 0 {
		l.order.Delete(t)
		delete(l.namespaces, w.Namespace)
		l.places.Add(w.Namespace, t.place)
	}
}

// placeOf returns the place of a namespace that has somebody waiting.
func (l *lane) placeOf(namespace string) place {
	if t, ok := l.namespaces[namespace]; ok {
		return t.place
	}
	return place{}
}

// move gives a namespace another place, whether somebody of it waits or not.
func (l *lane) move(namespace string, to place) {
	t, ok := l.namespaces[namespace]
	if !ok {
		l.places.Add(namespace, to)
		return
	}
	l.order.Delete(t)
	t.place = to
	l.order.ReplaceOrInsert(t)
}

// restore gives a namespace that has somebody waiting an earlier place.
func (l *lane) restore(namespace string, to place) {
	if t, ok := l.namespaces[namespace]; ok && to.compare(t.place) < 0 {
		l.move(namespace, to)
	}
}

// next is the first of the namespace whose turn it is; there must be one.
func (l *lane) next() *waiter {
	t, _ := l.order.Min()
	w, _ := t.waiting.Min()
	return w
}
