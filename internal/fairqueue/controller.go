// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// errorMin and errorMax are the first and the longest delay after a reconcile that returned an error; the delay doubles.
const errorMin, errorMax = 100 * time.Millisecond, time.Minute

// ForController returns the work queue of a controller, and the options of the controller. See New for the arguments. log is
// that of the manager.
func ForController(name string, workers int, pace clock.PassiveClock, log logr.Logger) (*Queue, controller.Options) {
	queue := New(name, workers, pace)
	return queue, controller.Options{
		MaxConcurrentReconciles: workers,
		ReconciliationTimeout:   time.Minute,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](errorMin, errorMax),
		NewQueue: func(_ string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{DelayingQueue: queue})
		},
		RecoverPanic:   ptr.To(true), // a panic becomes an error, which is retried with a backoff
		LogConstructor: logConstructor(log.WithName(name)),
	}
}

// logConstructor names the object in the log lines of a reconcile. controller-runtime's own names it twice and its kind three times,
// which is encoded for each reconcile, whether it logs or not.
func logConstructor(log logr.Logger) func(*reconcile.Request) logr.Logger {
	return func(request *reconcile.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues("namespace", request.Namespace, "name", request.Name)
	}
}
