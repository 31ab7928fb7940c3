// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// Uncached reads of workloads are limited per namespace: a burst of readBurst, and then one per readEvery. A read that
// exceeds the limit is deferred for readRetry.
const (
	readBurst = 64
	readEvery = 200 * time.Millisecond
	readRetry = 5 * time.Second
)

// errReadDeferred is returned for a workload that is not read now: its namespace has used up its reads.
var errReadDeferred = errors.New("reads of workloads are deferred")

// reads limits the reads of workloads past the cache, by namespace, and remembers the last ones of each object. Losing that
// costs reads alone. It is safe for concurrent use.
type reads struct {
	once    sync.Once
	buckets *ratelimit.Buckets[string]
	mu      sync.Mutex
	objects map[types.NamespacedName]*objectReads
}

// objectReads is what is remembered of one StsCredential. One reconcile at a time uses it.
type objectReads struct {
	// targets are the last reads of targets, for one generation of one object.
	targets    map[consumers.Workload]targetRead
	uid        types.UID
	generation int64
	// next is the workload to read first, since the last reconcile did not.
	next consumers.Workload
}

// targetRead is the outcome of a read of a target, and until when it holds.
type targetRead struct {
	err   error
	until time.Time
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
	if known.generation != s.credential.Generation || known.targets == nil {
		known.generation, known.targets = s.credential.Generation, map[consumers.Workload]targetRead{}
	}
	return known
}

// forget drops what is remembered of an object.
func (r *reads) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.objects, key)
}

// getWorkload gets a workload past the cache, or returns errReadDeferred.
func (r *Reconciler) getWorkload(ctx context.Context, namespace string, w consumers.Workload) (*unstructured.Unstructured, error) {
	r.reads.once.Do(func() { r.reads.buckets = ratelimit.NewBuckets[string](readEvery, readBurst, r.Clock) })
	if r.reads.buckets.TryAcquire(namespace) > 0 {
		return nil, errReadDeferred
	}
	object := w.Object(namespace)
	return object, r.APIReader.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// getTarget gets a target past the cache, once for each generation of the spec and then every few minutes. In between it
// returns the last outcome, and how long that holds.
func (r *Reconciler) getTarget(ctx context.Context, s subject, target consumers.Workload) (time.Duration, error) {
	known, now := r.reads.of(s), r.Clock.Now()
	if last, ok := known.targets[target]; ok && now.Before(last.until) {
		return last.until.Sub(now), last.err
	}
	_, err := r.getWorkload(ctx, s.credential.Namespace, target)
	if errors.Is(err, errReadDeferred) {
		return readRetry, err
	}
	known.targets[target] = targetRead{err: err, until: now.Add(targetHolds(err))}
	return targetHolds(err), err
}

// targetHolds returns how long the outcome of a read holds.
func targetHolds(err error) time.Duration {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return retry.Blocked
	}
	return transientRetry
}

// startingWith returns the workloads that are due, beginning with the first that the last reconcile did not read: each of
// them is read at some time, however many there are.
func startingWith(next consumers.Workload, due []consumers.Due) []consumers.Due {
	i := slices.IndexFunc(due, func(d consumers.Due) bool { return d.Workload == next })
	if i <= 0 {
		return due
	}
	return slices.Concat(due[i:], due[:i])
}
