// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// NewResults returns the counter of restarts, which starts at 0 for each result.
func NewResults() *prometheus.CounterVec {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stscredential_rollouts_total",
		Help: "Number of workload restarts after a renewal, by result: Restarted, or RolloutRefused if the API server rejected the restart.",
	}, []string{"result"})
	for _, result := range []string{v1alpha1.ReasonRestarted, v1alpha1.ReasonRolloutRefused} {
		results.WithLabelValues(result)
	}
	return results
}

// SetupWithManager registers the controller and its triggers: the spec and the status that the credential controller writes,
// Secrets, pods, the deletion of namespaces, and Wake.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, maxConcurrentReconciles int) error {
	if err := IndexPods(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	r.wake = make(chan wakeUp)
	found := watches{r.Client}
	log := mgr.GetLogger().WithName("rollout")
	return ctrl.NewControllerManagedBy(mgr).
		Named("rollout").
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(reportChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(credentialOfSecret)).
		Watches(&corev1.Pod{}, found.podHandler()).
		WatchesMetadata(&corev1.Namespace{}, found.namespaceHandler()).
		WatchesRawSource(source.Channel(r.wake, &handler.TypedEnqueueRequestForObject[*v1alpha1.StsCredential]{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentReconciles,
			ReconciliationTimeout:   time.Minute,
			NewQueue: func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
				return fairqueue.New(name, maxConcurrentReconciles, r.Clock).RateLimited(limiter)
			},
			RecoverPanic: ptr.To(true),
			LogConstructor: func(request *reconcile.Request) logr.Logger {
				if request == nil {
					return log
				}
				return log.WithValues("namespace", request.Namespace, "name", request.Name)
			},
			RateLimiter: retry.NewLimiter(),
		}).
		Complete(r)
}
