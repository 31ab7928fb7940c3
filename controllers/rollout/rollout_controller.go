// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout finds the pods that still use superseded credentials of an StsCredential, and restarts their workloads where
// its spec requests it. It does not use STS: it reads the record on the Secret, and the status that the credential controller has
// written. It owns status.consumers and the conditions PodsStale and RolloutFailing.
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
	// APIReader reads workloads uncached, within the limits of Reads.
	APIReader client.Reader
	Reads     *Reads
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
	// Rollouts restarts workloads where a spec requests it; otherwise stale pods are only reported.
	Rollouts bool

	requeued chan event.GenericEvent
}

// Reconcile reports the consumers of one StsCredential's Secret, and restarts workloads.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if ctx.Err() != nil { // the process ends: no reconcile begins
		return ctrl.Result{}, nil
	}
	ctx, cancel := drain.Context(ctx, r.Clock)
	defer cancel()
	credential := &v1alpha1.StsCredential{}
	if err := r.Get(ctx, request.NamespacedName, credential); err != nil || !credential.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s, err := observe(ctx, r.Client, credential, r.Clock.Now(), r.Skew(), r.Rollouts)
	if err != nil || !s.reported() {
		return ctrl.Result{}, err // the status and the Secret will agree soon; an event follows
	}
	finding, err := evaluate(ctx, r.Client, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	restarter := restarter{r.Client, workloads{r.APIReader, r.Reads, r.Results}, r.Early, r.Events, r.Results}
	restarts, err := restarter.restartWorkloads(ctx, s, finding)
	if err != nil {
		return ctrl.Result{}, err
	}
	return updateStatus(ctx, r.Client, r.Events, s, finding, restarts)
}

// Requeue queues an StsCredential whose next reconcile was planned by a clock that has changed since. It may be called once the
// controller is set up.
func (r *Reconciler) Requeue(ctx context.Context, c *v1alpha1.StsCredential) {
	select {
	case r.requeued <- event.GenericEvent{Object: c}:
	case <-ctx.Done():
	}
}
