// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

const (
	// readRetry is the delay before a read is repeated that was deferred.
	readRetry = 5 * time.Second
	// transientRetry is the delay before a request is repeated that the API server did not answer, or refused for a while.
	transientRetry = time.Minute
)

// errReadDeferred is returned for a workload that is not read now: its namespace has used up its reads.
var errReadDeferred = errors.New("reads of workloads are deferred")

// workloads gets workloads uncached.
type workloads struct {
	uncached client.Reader
	limits   *ratelimit.Buckets[string] // by namespace
	results  *prometheus.CounterVec
}

// get gets a workload uncached, or returns errReadDeferred.
func (w workloads) get(ctx context.Context, namespace string, workload consumers.Workload) (*unstructured.Unstructured, error) {
	if w.limits.TryAcquire(namespace) > 0 {
		return nil, errReadDeferred
	}
	object := workload.Object(namespace)
	return object, w.uncached.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// failed counts a failed request, and returns the result for a workload that the API server did not let be read or patched.
func (w workloads) failed(workload consumers.Workload, verb string, err error) result {
	if meta.IsNoMatchError(err) {
		return blockedBy(v1alpha1.ReasonTargetNotFound, fmt.Sprintf(
			"%s: Kind %s is not installed in this cluster. Install it, or correct spec.rollout.targets.", workload, workload.Kind))
	}
	w.results.WithLabelValues(v1alpha1.ReasonRolloutRefused).Inc()
	why, transient := apiserver.Describe(err)
	switch {
	case apierrors.IsForbidden(err):
		return blockedBy(v1alpha1.ReasonRolloutForbidden, fmt.Sprintf(
			"the operator may not %s %s: %s. Ask a cluster administrator for the permissions that --rollouts requires.", verb, workload, why))
	case transient:
		return blockedBy(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("failed to %s %s: %s", verb, workload, why)).and(retryAfter(transientRetry))
	}
	return blockedBy(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("%s cannot be restarted: %s", workload, why))
}
