// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
)

// controllerName is that of the metrics, the log and the work queue.
const controllerName = "rollout"

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
// Secrets, pods, the deletion of namespaces, and Requeue.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, maxConcurrentReconciles int) error {
	if err := IndexPods(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	r.requeued = make(chan event.GenericEvent)
	found := watches{r.Client}
	_, options := fairqueue.ForController(controllerName, maxConcurrentReconciles, r.Clock, mgr.GetLogger())
	return ctrl.NewControllerManagedBy(mgr).
		Named(controllerName).
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(reportChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(credentialOfSecret)).
		Watches(&corev1.Pod{}, found.podHandler()).
		WatchesMetadata(&corev1.Namespace{}, found.namespaceHandler()).
		WatchesRawSource(source.Channel(r.requeued, &handler.EnqueueRequestForObject{})).
		WithOptions(options).
		Complete(r)
}
