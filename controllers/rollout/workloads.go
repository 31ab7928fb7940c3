// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

const (
	// Uncached reads of workloads are limited per namespace: a burst of readBurst, and then one per readEvery.
	readBurst = 64
	readEvery = 200 * time.Millisecond
	// readRetry is the delay before a read is repeated that was deferred.
	readRetry = 5 * time.Second
	// transientRetry is the delay before a request is repeated that the API server did not answer, or refused for a while.
	transientRetry = time.Minute
	// maxRecentReads bounds the recent reads that are kept.
	maxRecentReads = 4096
)

// Reads limits the uncached reads of workloads by namespace, and keeps recent ones. Losing these costs reads alone. It is safe
// for concurrent use.
type Reads struct {
	limits *ratelimit.Buckets[string]
	// recent has a targetRead by targetKey and, by the UID of an StsCredential, the workload to read first, since the last
	// reconcile did not.
	recent *cache.LRUExpireCache
}

// targetKey identifies a target of one generation of a spec.
type targetKey struct {
	uid        types.UID
	generation int64
	target     consumers.Workload
}

// targetRead is the outcome of a read of a target, and until when it holds.
type targetRead struct {
	err   error
	until time.Time
}

// NewReads returns the limits of reads by the local clock.
func NewReads(clock clock.PassiveClock) *Reads {
	return &Reads{ratelimit.NewBuckets[string](readEvery, readBurst, clock), cache.NewLRUExpireCacheWithClock(maxRecentReads, clock)}
}

// next returns the workload that is read first for an StsCredential, if it is due.
func (r *Reads) next(c *v1alpha1.StsCredential) consumers.Workload {
	kept, _ := r.recent.Get(c.UID)
	next, _ := kept.(consumers.Workload)
	return next
}

// errReadDeferred is returned for a workload that is not read now: its namespace has used up its reads.
var errReadDeferred = errors.New("reads of workloads are deferred")

// workloads gets workloads uncached.
type workloads struct {
	uncached client.Reader
	reads    *Reads
	results  *prometheus.CounterVec
}

// get gets a workload uncached, or returns errReadDeferred.
func (w workloads) get(ctx context.Context, namespace string, workload consumers.Workload) (*unstructured.Unstructured, error) {
	if w.reads.limits.TryAcquire(namespace) > 0 {
		return nil, errReadDeferred
	}
	object := workload.Object(namespace)
	return object, w.uncached.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// verify reports a target that does not exist. A target with pods is not read, because it exists.
func (w workloads) verify(ctx context.Context, cached client.Reader, s subject, target consumers.Workload) (result, error) {
	var pods corev1.PodList
	err := cached.List(ctx, &pods, client.InNamespace(s.credential.Namespace), client.MatchingFields{byWorkload: target.String()},
		client.Limit(1), client.UnsafeDisableDeepCopy)
	if err != nil || len(pods.Items) > 0 {
		return result{}, err
	}
	read := w.getTarget(ctx, s, target)
	again := retryAfter(read.until.Sub(s.now))
	switch {
	case read.err == nil:
		return result{}, nil
	case errors.Is(read.err, errReadDeferred):
		return again.and(result{unread: target}), nil
	case apierrors.IsNotFound(read.err):
		return again.and(blockedBy(v1alpha1.ReasonTargetNotFound,
			"spec.rollout.targets: there is no %s in namespace %s. Correct the name, or create it.", target, s.credential.Namespace)), nil
	}
	return again.and(w.failed(target, "read", read.err)), nil
}

// getTarget gets a target uncached, once for each generation of the spec and then every few minutes. In between it returns the
// last outcome.
func (w workloads) getTarget(ctx context.Context, s subject, target consumers.Workload) targetRead {
	key := targetKey{s.credential.UID, s.credential.Generation, target}
	kept, _ := w.reads.recent.Get(key)
	if last, ok := kept.(targetRead); ok && s.now.Before(last.until) {
		return last
	}
	_, err := w.get(ctx, s.credential.Namespace, target)
	if errors.Is(err, errReadDeferred) {
		return targetRead{err, s.now.Add(readRetry)}
	}
	holds := transientRetry
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		holds = retry.Blocked
	}
	read := targetRead{err, s.now.Add(holds)}
	w.reads.recent.Add(key, read, holds)
	return read
}

// failed counts a failed request, and returns the result for a workload that the API server did not let be read or patched.
func (w workloads) failed(workload consumers.Workload, verb string, err error) result {
	if meta.IsNoMatchError(err) {
		return blockedBy(v1alpha1.ReasonTargetNotFound,
			"%s: Kind %s is not installed in this cluster. Install it, or correct spec.rollout.targets.", workload, workload.Kind)
	}
	w.results.WithLabelValues(v1alpha1.ReasonRolloutRefused).Inc()
	why, transient := apiserver.Describe(err)
	switch {
	case apiserver.LacksPermission(err):
		return blockedBy(v1alpha1.ReasonRolloutForbidden,
			"the operator may not %s %s: %s. Ask a cluster administrator for the permissions that --rollouts requires.", verb, workload, why)
	case transient:
		return blockedBy(v1alpha1.ReasonRolloutRefused, "failed to %s %s: %s", verb, workload, why).and(retryAfter(transientRetry))
	}
	return blockedBy(v1alpha1.ReasonRolloutRefused, "%s cannot be restarted: %s", workload, why)
}
