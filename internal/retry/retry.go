// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package retry holds the delays after which the controllers reconcile an object again.
package retry

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// WriteConflict is the delay after another client wrote to the object that was to be written.
	WriteConflict = time.Second
	// Blocked is the interval between reads of an object that the operator does not watch, while it blocks the reconcile: for
	// example, a Secret of another owner, or a workload that cannot be restarted.
	Blocked = 5 * time.Minute
)

// errorMin and errorMax are the first and the longest delay after a reconcile that returned an error.
const errorMin, errorMax = 100 * time.Millisecond, time.Minute

// NewLimiter returns the rate limiter of a controller's work queue: it delays an object whose reconcile returned an error, by
// 100 ms at first, doubling to a minute.
func NewLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](errorMin, errorMax)
}
