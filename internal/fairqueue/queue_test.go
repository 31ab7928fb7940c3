// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// testQueue is a queue whose clock is stepped. Requests are written namespace/name.
type testQueue struct {
	*testing.T
	*Queue
	clock *clocktesting.FakeClock
}

func newTestQueue(t *testing.T, workers int) *testQueue {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	q := newQueue("", workers, clock, ratelimit.NewBuckets[types.NamespacedName](ReconcileEvery, ReconcileBurst, clock))
	t.Cleanup(q.ShutDown)
	return &testQueue{T: t, Queue: q, clock: clock}
}

func requestOf(s string) reconcile.Request {
	namespace, name, _ := strings.Cut(s, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

func (q *testQueue) add(requests ...string) {
	for _, s := range requests {
		q.Add(requestOf(s))
	}
}

// get takes out the next request; it must be there.
func (q *testQueue) get() string {
	q.Helper()
	if q.Len() == 0 {
		q.Fatal("nothing is queued")
	}
	request, _ := q.Get()
	return request.String()
}

// reconcile takes out the next request and ends it.
func (q *testQueue) reconcile() string {
	q.Helper()
	s := q.get()
	q.Done(requestOf(s))
	return s
}

// step moves the clock on, which queues what has come due.
func (q *testQueue) step(d time.Duration) { q.clock.Step(d) }

func TestNamespacesAreRoundRobin(t *testing.T) {
	q := newTestQueue(t, 32)
	for i := range 1000 {
		q.add(fmt.Sprint("busy/", i))
	}
	q.add("quiet/a", "quiet/b", "other/a")
	var got []string
	for range 7 {
		got = append(got, q.reconcile())
	}
	if want := []string{"busy/0", "quiet/a", "other/a", "busy/1", "quiet/b", "busy/2", "busy/3"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	if got := q.Len(); got != 996 {
		t.Errorf("%d wait, want 996", got)
	}
}

// start takes out requests as long as any may start, and returns them.
func (q *testQueue) start() (running []string) {
	q.Helper()
	for q.Len() > 0 {
		running = append(running, q.get())
	}
	return running
}

// A namespace leaves as many workers free as it has, however long its requests take, and later namespaces have as many.
func TestWorkersAreShared(t *testing.T) {
	q := newTestQueue(t, 8)
	for i := range 100 {
		q.add(fmt.Sprint("slow/", i))
	}
	slow := q.start()
	if len(slow) != 4 {
		t.Fatalf("alone it has %d of 8 workers", len(slow))
	}
	for i := range 100 {
		q.add(fmt.Sprint("quiet/", i), fmt.Sprint("other/", i))
	}
	if got := q.start(); !slices.Equal(got, []string{"quiet/0", "other/0", "quiet/1"}) {
		t.Fatalf("the others start %v", got)
	}
	for _, ended := range slow {
		q.Done(requestOf(ended))
		q.start()
	}
	for _, namespace := range []string{"slow", "quiet", "other"} {
		if got := q.order.namespaces[namespace].running; got != 2 {
			t.Errorf("%s has %d of 8 workers", namespace, got)
		}
	}
	for i, ended := 2, "quiet/0"; i < 50; i++ { // those of quiet are fast
		q.Done(requestOf(ended))
		if got := q.start(); !slices.Equal(got, []string{fmt.Sprint("quiet/", i)}) {
			t.Fatalf("after %s starts %v", ended, got)
		}
		ended = fmt.Sprint("quiet/", i)
	}
}

// Requests hang in one namespace after the other: each occupies half of the workers that are left.
func TestEachNamespaceLeavesWorkersFree(t *testing.T) {
	for workers, want := range map[int][]int{1: {1, 0}, 2: {1, 1, 0}, 8: {4, 2, 1, 1, 0}, 32: {16, 8, 4, 2, 1, 1, 0}} {
		q := newTestQueue(t, workers)
		var got []int
		for namespace := range want {
			for i := range 2 * workers {
				q.add(fmt.Sprint("n", namespace, "/", i))
			}
			got = append(got, len(q.start()))
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %d workers the namespaces have %v, want %v", workers, got, want)
		}
	}
}

func TestAdmittedCallsGoFirstInTheirNamespace(t *testing.T) {
	q := newTestQueue(t, 32)
	q.add("a/1", "a/2", "a/3", "b/1", "b/2")
	q.AddFirst(requestOf("a/3"))
	q.AddFirst(requestOf("a/9"))
	var got []string
	for range 6 {
		got = append(got, q.reconcile())
	}
	if want := []string{"a/3", "b/1", "a/9", "b/2", "a/1", "a/2"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	q.add("a/1", "a/2") // AddFirst counts once
	q.AddFirst(requestOf("a/2"))
	under := q.get()
	q.add("a/3")
	q.AddFirst(requestOf(under)) // while it is running
	q.Done(requestOf(under))
	if got := []string{q.reconcile(), q.reconcile(), q.reconcile()}; !slices.Equal(got, []string{"a/2", "a/1", "a/3"}) || under != "a/2" {
		t.Errorf("%s, then %v", under, got)
	}
	if left := len(q.order.namespaces) + len(q.order.waiting) + len(q.order.preferred); left > 0 {
		t.Errorf("%d entries are left of an empty queue", left)
	}
}

// An object that is edited without end is reconciled ten times at once, then every ten seconds; no edit is lost.
func TestReconcilesOfOneObjectArePaced(t *testing.T) {
	for name, add := range map[string]func(q *testQueue){
		"events":     func(q *testQueue) { q.add("a/hot") },
		"retries":    func(q *testQueue) { q.AddAfter(requestOf("a/hot"), time.Millisecond) },
		"times come": func(q *testQueue) { q.AddAfter(requestOf("a/hot"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			q := newTestQueue(t, 32)
			reconciles := 0
			for range 600 * 5 { // ten minutes
				add(q)
				q.step(200 * time.Millisecond)
				if q.Len() > 0 {
					q.reconcile()
					reconciles++
				}
			}
			if want := ReconcileBurst + int(10*time.Minute/ReconcileEvery); reconciles < want-2 || reconciles > want+2 {
				t.Errorf("%d reconciles in ten minutes, want about %d", reconciles, want)
			}
			q.step(ReconcileEvery)
			if q.Len() != 1 {
				t.Error("the last edit is lost")
			}
			q.add("a/other")
			if q.Len() != 2 {
				t.Error("another object is delayed")
			}
		})
	}
}

// An object has at most one delayed request, and none after it is reconciled: objects that are created and deleted leave none.
func TestDelaysLeaveNothingBehind(t *testing.T) {
	q := newTestQueue(t, 32)
	for i := range 1000 {
		request := requestOf(fmt.Sprint("a/", i))
		q.Add(request)
		q.Get()
		q.AddAfter(request, 8*time.Hour)
		q.AddAfter(request, 9*time.Hour)
		q.Done(request)
		q.Add(request) // the object is deleted
		q.Get()
		q.Done(request)
	}
	if left := len(q.delayed); left > 0 {
		t.Errorf("%d delayed requests are left", left)
	}
	q.AddAfter(requestOf("a/x"), 2*time.Hour)
	q.AddAfter(requestOf("a/x"), time.Hour)
	q.step(time.Hour)
	if q.Len() != 1 {
		t.Error("the earlier of two times does not count")
	}
}

// After a restart every object is reconciled soon, although objects of one namespace are edited all the time and each of their
// reconciles takes ten times as long: 10,000 objects of others need hardly more than one round of reconciles.
func TestEveryObjectIsReconciledAfterARestart(t *testing.T) {
	const objects, namespaces, hot, workers, slow = 10_000, 3, 100, 32, 10
	q := newTestQueue(t, 32)
	for i := range hot {
		q.add(fmt.Sprint("hostile/", i))
	}
	unseen := map[string]bool{}
	for i := range objects {
		s := fmt.Sprint("quiet-", i%namespaces, "/", i)
		unseen[s] = true
		q.add(s)
	}
	type work struct {
		request string
		ends    int
	}
	var running []work
	now, hostile, edits := 0, 0, 0
	for ; len(unseen) > 0; now++ {
		for range 5 {
			q.add(fmt.Sprint("hostile/", edits%hot))
			edits++
		}
		running = slices.DeleteFunc(running, func(w work) bool {
			if w.ends > now {
				return false
			}
			q.Done(requestOf(w.request))
			return true
		})
		for len(running) < workers && q.Len() > 0 {
			w := work{request: q.get(), ends: now + 1}
			if strings.HasPrefix(w.request, "hostile/") {
				w.ends += slow - 1
				hostile++
			}
			delete(unseen, w.request)
			running = append(running, w)
		}
		q.clock.Step(time.Millisecond)
		if now > 10_000 {
			t.Fatalf("%d objects were not reconciled", len(unseen))
		}
	}
	// Each of four namespaces leaves as many workers free as it has, so it has a fifth of them.
	if fair := objects/(workers*namespaces/(namespaces+2)) + slow; now > fair*11/10 {
		t.Errorf("it took %d rounds, want about %d", now, fair)
	}
	if hostile > hot*(ReconcileBurst+1) {
		t.Errorf("%d hostile reconciles", hostile)
	}
}

// Admitted calls run before their reservation of half a minute expires, though 10,000 objects of their namespace and of others
// wait, and each reconcile takes 20 ms.
func TestAdmittedCallsRunBeforeTheirReservationExpires(t *testing.T) {
	const objects, took, held = 10_000, 20 * time.Millisecond, 30 * time.Second
	q := newTestQueue(t, 32)
	for i := range objects {
		q.add(fmt.Sprint("one/", i), fmt.Sprint("n", i%500, "/", i))
	}
	for i := range 50 {
		q.AddFirst(requestOf(fmt.Sprint("one/", objects-1-i*7)))
		q.AddFirst(requestOf(fmt.Sprint("n", i, "/", 9500+i)))
	}
	admitted, reconciles := 0, 0
	for admitted < 100 {
		s := q.reconcile()
		reconciles++
		if namespace, name, _ := strings.Cut(s, "/"); namespace == "one" || len(name) == 4 && name >= "9500" && name < "9550" {
			admitted++
		}
	}
	const workers = 32
	if late := time.Duration(reconciles) * took / workers; late > held {
		t.Errorf("the last admitted call runs after %v", late)
	}
}
