// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// Uncached reads of workloads are limited per namespace: a burst of readBurst, and then one per readEvery.
const (
	readBurst = 64
	readEvery = 200 * time.Millisecond
)

// reads limits the uncached reads of workloads, by namespace, and remembers the last ones of each object. Losing that
// costs reads alone. It is safe for concurrent use.
type reads struct {
	once    sync.Once
	buckets *ratelimit.Buckets[string]
	mu      sync.Mutex
	objects map[types.NamespacedName]*objectReads
}

// objectReads is what is remembered of one StsCredential. One reconcile at a time uses it.
type objectReads struct {
	// targetReads are the last reads of targets, for one generation of one object.
	targetReads map[consumers.Workload]targetRead
	uid         types.UID
	generation  int64
	// next is the workload to read first, since the last reconcile did not.
	next consumers.Workload
}

// targetRead is the outcome of a read of a target, and until when it holds.
type targetRead struct {
	err   error
	until time.Time
}

// limits returns the limits of reads by namespace.
func (r *reads) limits(clock clock.PassiveClock) *ratelimit.Buckets[string] {
	r.once.Do(func() { r.buckets = ratelimit.NewBuckets[string](readEvery, readBurst, clock) })
	return r.buckets
}

// of returns what is remembered of an object.
func (r *reads) of(s subject) *objectReads {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects == nil {
		r.objects = map[types.NamespacedName]*objectReads{}
	}
	known := r.objects[s.key()]
	if known == nil || known.uid != s.credential.UID {
		known = &objectReads{uid: s.credential.UID}
		r.objects[s.key()] = known
	}
	if known.generation != s.credential.Generation || known.targetReads == nil {
		known.generation, known.targetReads = s.credential.Generation, map[consumers.Workload]targetRead{}
	}
	return known
}

// forget drops what is remembered of an object.
func (r *reads) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.objects, key)
}
