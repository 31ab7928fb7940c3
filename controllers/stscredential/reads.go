// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// For one namespace, workloads are read past the cache readBurst times at once and then once every readEvery. A read beyond
// that is tried again after readRetry.
const (
	readBurst = 64
	readEvery = 200 * time.Millisecond
	readRetry = 5 * time.Second
)

// errReadDeferred is returned for a workload that is not read now: its namespace has used up its reads.
var errReadDeferred = errors.New("reads of workloads are deferred")

// workloadReads limits the reads of workloads past the cache, by namespace.
type workloadReads struct {
	once    sync.Once
	buckets *ratelimit.Buckets[string]
}

// targetRead is the outcome of a read of a target, and until when it holds.
type targetRead struct {
	err   error
	until time.Time
}

// getWorkload gets a workload past the cache, or returns errReadDeferred and sees to it that the next reconcile tries again,
// beginning with it.
func (r *Reconciler) getWorkload(ctx context.Context, p *pass, w consumers.Workload) (*unstructured.Unstructured, error) {
	r.reads.once.Do(func() { r.reads.buckets = ratelimit.NewBuckets[string](readEvery, readBurst, r.Clock) })
	if r.reads.buckets.TryTake(p.credential.Namespace) > 0 {
		if !p.readsDeferred {
			p.memo.nextRead = w
		}
		p.readsDeferred = true
		p.looks = append(p.looks, readRetry)
		return nil, errReadDeferred
	}
	object := w.Object(p.credential.Namespace)
	return object, r.Live.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// findTarget gets a target past the cache, once for each generation of the spec and then every few minutes; in between it
// returns the last outcome.
func (r *Reconciler) findTarget(ctx context.Context, p *pass, target consumers.Workload) error {
	now := r.Clock.Now()
	if p.memo.targetsOf != p.credential.Generation || p.memo.targets == nil {
		p.memo.targetsOf, p.memo.targets = p.credential.Generation, map[consumers.Workload]targetRead{}
	}
	if last, ok := p.memo.targets[target]; ok && now.Before(last.until) {
		if last.err != nil {
			p.looks = append(p.looks, last.until.Sub(now))
		}
		return last.err
	}
	_, err := r.getWorkload(ctx, p, target)
	if !errors.Is(err, errReadDeferred) {
		p.memo.targets[target] = targetRead{err: err, until: now.Add(targetHolds(err))}
	}
	return err
}

// targetHolds returns how long the outcome of a read holds.
func targetHolds(err error) time.Duration {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return obstacleRetry
	}
	return transientMax
}

// fromNextRead returns the workloads that are due, those first that the last reconcile had to leave unread: each of them is
// read at some time, however many there are.
func (m *memo) fromNextRead(due []consumers.Due) []consumers.Due {
	i := slices.IndexFunc(due, func(d consumers.Due) bool { return d.Workload == m.nextRead })
	if i <= 0 {
		return due
	}
	return slices.Concat(due[i:], due[:i])
}
