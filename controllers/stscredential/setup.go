// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// SetupWithManager registers the controller and its triggers: the spec, renew request and finalizer of StsCredentials, their
// Secrets, grants, the labels and deletion of namespaces, clock changes, admitted calls, and requests to renew early.
// Changes of the status do not trigger it.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, maxConcurrentReconciles int) error {
	if err := IndexSecrets(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	woken := make(chan wakeUp)
	monitor := &clockMonitor{
		Reader: r.Client, sts: r.STS, operator: r.Operator, budget: r.Budget, clock: r.Clock,
		elected: mgr.Elected(), woken: woken, onChange: r.OnClockChange, jump: wallJump,
	}
	if err := mgr.Add(monitor); err != nil {
		return err
	}
	found := watches{r.Client}
	due := &dueCalls{budget: r.Budget, early: r.Early, clock: r.Clock}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(specOrRenewRequest())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(found.credentialsOfSecret), builder.WithPredicates(r.states.skipOwnWrites())).
		Watches(&v1alpha1.StsCredential{}, found.secretNameHandler()).
		Watches(&v1alpha1.StsRoleGrant{}, found.grantHandler()).
		WatchesMetadata(&corev1.Namespace{}, found.namespaceHandler()).
		WatchesRawSource(source.Channel(woken, &handler.TypedEnqueueRequestForObject[*v1alpha1.StsCredential]{})).
		WatchesRawSource(due).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentReconciles,
			ReconciliationTimeout:   time.Minute,
			NewQueue:                due.newQueue(maxConcurrentReconciles),
			RecoverPanic:            ptr.To(true), // a panic becomes an error, which is retried with a backoff
			LogConstructor:          logConstructor(mgr.GetLogger()),
			RateLimiter:             retry.NewLimiter(),
		}).
		Complete(r)
}

// logConstructor names the object in the log lines of a reconcile. controller-runtime's own names it twice and its kind three times,
// which is encoded for each reconcile, whether it logs or not.
func logConstructor(log logr.Logger) func(*reconcile.Request) logr.Logger {
	log = log.WithName("stscredential")
	return func(request *reconcile.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues("namespace", request.Namespace, "name", request.Name)
	}
}

// RegisterMetrics registers the metrics of this controller (see metrics.Metrics.Register). Those of restarts are
// rollout.NewResults.
func (r *Reconciler) RegisterMetrics(registry prometheus.Registerer, elected <-chan struct{}) error {
	account := func() string {
		caller, _ := r.Operator.Caller()
		return caller.Account
	}
	return r.Metrics.Register(registry, metrics.Sources{Reader: r.Client, Now: r.STS.Now, Skew: r.STS.Skew, Account: account, Budget: r.Budget}, elected)
}
