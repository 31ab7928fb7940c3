// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func newBuckets() (*Buckets[int], *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	return NewBuckets[int](10*time.Second, 3, clock), clock
}

func TestAKeyHasABurstAndThenOneTokenEachInterval(t *testing.T) {
	b, clock := newBuckets()
	for i := range 3 {
		if wait := b.TryAcquire(1); wait != 0 {
			t.Fatalf("token %d: wait %v", i, wait)
		}
	}
	if wait := b.TryAcquire(1); wait != 10*time.Second {
		t.Errorf("an empty bucket: wait %v", wait)
	}
	if wait := b.TryAcquire(2); wait != 0 {
		t.Errorf("another key: wait %v", wait)
	}
	clock.Step(4 * time.Second)
	if wait := b.Wait(1); wait != 6*time.Second {
		t.Errorf("after 4s: wait %v", wait)
	}
	clock.Step(6 * time.Second)
	if first, second := b.TryAcquire(1), b.TryAcquire(1); first != 0 || second != 10*time.Second {
		t.Errorf("after 10s there is not exactly one token: waits %v and %v", first, second)
	}
	clock.Step(time.Hour)
	taken := 0
	for b.TryAcquire(1) == 0 {
		taken++
	}
	if taken != 3 {
		t.Errorf("after an hour there are %d tokens, want 3", taken)
	}
}

// Whoever takes what is not there makes no debt: the wait is never longer than one interval.
func TestThereIsNoDebt(t *testing.T) {
	b, _ := newBuckets()
	for range 100 {
		b.Acquire(1)
	}
	if wait := b.Wait(1); wait != 10*time.Second {
		t.Errorf("wait %v", wait)
	}
}

// A bucket is as full as it should be, whenever generations change.
func TestGenerationsForgetNothingEarly(t *testing.T) {
	for offset := range 60 {
		b, clock := newBuckets()
		clock.Step(time.Duration(offset) * time.Second)
		b.TryAcquire(0) // may begin a generation
		for range 3 {
			b.TryAcquire(1)
		}
		for second := 1; second <= 30; second++ {
			clock.Step(time.Second)
			b.TryAcquire(100 + second)
			if want := max(0, time.Duration(10-second)*time.Second); b.Wait(1) != want {
				t.Fatalf("offset %d, second %d: wait %v, want %v", offset, second, b.Wait(1), want)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	b, clock := newBuckets()
	for key := range 5 * maxKeys {
		b.Acquire(key)
	}
	if got := len(b.recent) + len(b.older); got > 2*maxKeys {
		t.Errorf("%d keys are remembered", got)
	}
	clock.Step(time.Minute)
	b.Wait(0)
	if got := len(b.recent) + len(b.older); got > 0 {
		t.Errorf("%d keys are remembered after all are full", got)
	}
}

// A user creates and deletes objects whose names are as long as Kubernetes allows, without end.
func TestLongKeysTakeNoMoreMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	b := NewBuckets[types.NamespacedName](time.Minute, 25, clock)
	namespace, name := strings.Repeat("n", 63), strings.Repeat("x", 240)
	before, most := heap(), 0
	for i := range 3*maxKeys - 1 {
		b.TryAcquire(types.NamespacedName{Namespace: namespace, Name: fmt.Sprintf("%s%013d", name, i)})
		if i%(maxKeys/8) == maxKeys/8-1 {
			most = max(most, heap()-before)
		}
	}
	if got := len(b.recent) + len(b.older); got != 2*maxKeys-1 {
		t.Errorf("%d keys are remembered, want %d", got, 2*maxKeys-1)
	}
	if most > 6<<20 {
		t.Errorf("they take %d KiB", most>>10)
	}
	t.Logf("%d KiB at most", most>>10)
}
