// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// maxKeys is how many keys are remembered per generation. Two generations exist at a time: some 5 MiB at most.
const maxKeys = 1 << 16

// Buckets holds a token bucket for each key. Deleting and creating a Kubernetes object under the same name does not refill
// its bucket. A key uses memory from its first token until some time after its bucket is full again. It is stored as a
// 64-bit hash, so its length does not matter. Two keys with the same hash share a bucket: with the maximum number of keys,
// the probability is 1 in 2 * 10^9. The hash has a random seed, so a client cannot choose such keys. Buckets is safe for
// concurrent use.
type Buckets[K comparable] struct {
	every time.Duration
	burst time.Duration // every times the size of a bucket
	clock clock.PassiveClock
	start time.Time // all times below count from here, so that steps of the wall clock do not matter
	seed  maphash.Seed

	mu sync.Mutex
	// When buckets are full again, by the hash of the key. A key moves to recent when a token is taken. The older generation is dropped
	// after the time in which a bucket fills up.
	recent, older map[uint64]time.Duration
	rotated       time.Duration
}

// NewBuckets returns buckets of size burst, which must be positive, that gain a token at each interval of every.
func NewBuckets[K comparable](every time.Duration, burst int, clock clock.PassiveClock) *Buckets[K] {
	return &Buckets[K]{
		every: every, burst: time.Duration(burst) * every, clock: clock, start: clock.Now(),
		seed: maphash.MakeSeed(), recent: map[uint64]time.Duration{}, older: map[uint64]time.Duration{},
	}
}

// Wait returns how long the key must wait for a token: 0 if it has one, at most the interval between two tokens.
func (b *Buckets[K]) Wait(key K) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return b.wait(b.full(b.hash(key), now), now)
}

// Acquire takes a token of the key. If there is none, the next token is a whole interval away from now.
func (b *Buckets[K]) Acquire(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	hash := b.hash(key)
	b.recent[hash] = min(b.full(hash, now)+b.every, now+b.burst)
}

// TryAcquire takes a token of the key if there is one; otherwise it returns how long to wait for the next.
func (b *Buckets[K]) TryAcquire(key K) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	hash := b.hash(key)
	full := b.full(hash, now)
	if wait := b.wait(full, now); wait > 0 {
		return wait
	}
	b.recent[hash] = full + b.every
	return 0
}

func (b *Buckets[K]) hash(key K) uint64 {
	return maphash.Comparable(b.seed, key)
}

func (b *Buckets[K]) wait(full, now time.Duration) time.Duration {
	return max(0, full+b.every-b.burst-now)
}

// full returns when the bucket of a key with this hash is full: now if it is.
func (b *Buckets[K]) full(hash uint64, now time.Duration) time.Duration {
	full, ok := b.recent[hash]
	if !ok {
		full = b.older[hash]
	}
	return max(full, now)
}

// now returns the time, and drops what is not needed any more.
func (b *Buckets[K]) now() time.Duration {
	now := b.clock.Since(b.start)
	if now-b.rotated < b.burst && len(b.recent) < maxKeys {
		return now
	}
	if now-b.rotated >= 2*b.burst {
		clear(b.recent)
	}
	b.recent, b.older, b.rotated = map[uint64]time.Duration{}, b.recent, now
	return now
}
