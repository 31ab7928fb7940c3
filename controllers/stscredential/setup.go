// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
)

// controllerName is that of the metrics, the log and the work queue.
const controllerName = "stscredential"

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
	requests, options := fairqueue.ForController(controllerName, maxConcurrentReconciles, r.Clock, mgr.GetLogger())
	due := &dueCalls{budget: r.Budget, early: r.Early, clock: r.Clock, requests: requests}
	return ctrl.NewControllerManagedBy(mgr).
		Named(controllerName).
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(specOrRenewRequest())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(found.credentialsOfSecret), builder.WithPredicates(r.states.skipOwnWrites())).
		Watches(&v1alpha1.StsCredential{}, found.secretNameHandler()).
		Watches(&v1alpha1.StsRoleGrant{}, found.grantHandler()).
		WatchesMetadata(&corev1.Namespace{}, found.namespaceHandler()).
		WatchesRawSource(source.Channel(woken, &handler.TypedEnqueueRequestForObject[*v1alpha1.StsCredential]{})).
		WatchesRawSource(due).
		WithOptions(options).
		Complete(r)
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
