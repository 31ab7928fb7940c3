// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout finds the pods that still use superseded credentials of an StsCredential, and restarts their workloads where
// its spec asks for it. It knows nothing of STS: it reads the record on the Secret, and what the credential controller has
// reported in the status. It owns status.consumers and the conditions PodsStale and RolloutFailing.
package rollout

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// Reconciler reports the consumers of Secrets and restarts workloads. All fields are required except Rollouts.
type Reconciler struct {
	// Client reads from the cache, in which Secrets and pods are stripped, and writes.
	client.Client
	// APIReader reads workloads uncached.
	APIReader client.Reader
	// Skew returns by how much the clock that expirations follow is ahead of the local one.
	Skew func() time.Duration
	// Clock is the local clock.
	Clock clock.WithTicker
	// Events records restarts and what keeps pods from being restarted.
	Events events.EventRecorder
	// Results counts restarts, see NewResults.
	Results *prometheus.CounterVec
	// Early carries requests to renew other credentials that a workload reads.
	Early *renewal.Early
	// Rollouts restarts workloads where a spec asks for it; otherwise stale pods are only reported.
	Rollouts bool

	reads reads
	wake  chan wakeUp
}

// wakeUp queues one StsCredential.
type wakeUp = event.TypedGenericEvent[*v1alpha1.StsCredential]

// Reconcile reports the consumers of one StsCredential's Secret, and restarts workloads.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if ctx.Err() != nil { // the process ends: nothing is begun any more
		return ctrl.Result{}, nil
	}
	ctx, cancel := drain.Context(ctx, r.Clock)
	defer cancel()
	credential := &v1alpha1.StsCredential{}
	if err := r.Get(ctx, request.NamespacedName, credential); err != nil || !credential.DeletionTimestamp.IsZero() {
		r.reads.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s, err := observe(ctx, r.Client, credential, r.Skew(), r.Rollouts)
	if err != nil || !s.reported() {
		return ctrl.Result{}, err // the status and the Secret will agree soon; an event follows
	}
	finding, err := evaluate(ctx, r.Client, s, r.Clock)
	if err != nil {
		return ctrl.Result{}, err
	}
	workloads := workloads{r.APIReader, r.reads.limits(r.Clock), r.Results}
	targets := targets{r.Client, workloads, r.Clock}
	restarter := restarter{r.Client, workloads, targets, companions{r.Client}, r.Early, r.Clock, r.Events, r.Results}
	restarts, err := restarter.restartWorkloads(ctx, s, finding, &r.reads)
	if err != nil {
		return ctrl.Result{}, err
	}
	return statusWriter{r.Client, r.Clock, r.Events}.update(ctx, s, finding, restarts)
}

// Wake queues an StsCredential whose next reconcile was planned by a clock that has changed since. It may be called once the
// controller is set up.
func (r *Reconciler) Wake(ctx context.Context, c *v1alpha1.StsCredential) {
	select {
	case r.wake <- wakeUp{Object: c}:
	case <-ctx.Done():
	}
}
