// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout finds the pods that still use superseded credentials of an StsCredential, and restarts their workloads where
// its spec asks for it. It knows nothing of STS: it reads the record on the Secret, and what the credential controller has
// reported in the status. It owns status.consumers and the conditions PodsStale and RolloutFailing.
package rollout

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
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

	reads  reads
	wake   chan wakeUp
	active atomic.Int64 // reconciles under way
}

// wakeUp queues one StsCredential.
type wakeUp = event.TypedGenericEvent[*v1alpha1.StsCredential]

// Wake queues an StsCredential whose next reconcile was planned by a clock that has changed since. It may be called once the
// controller is set up.
func (r *Reconciler) Wake(ctx context.Context, c *v1alpha1.StsCredential) {
	select {
	case r.wake <- wakeUp{Object: c}:
	case <-ctx.Done():
	}
}

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

// Reconcile reports the consumers of one StsCredential's Secret, and restarts workloads.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r.active.Add(1)
	defer r.active.Add(-1)
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
	s, err := r.subjectOf(ctx, credential)
	if err != nil || !s.reported() {
		return ctrl.Result{}, err // the status and the Secret will agree soon; an event follows
	}
	finding, err := r.evaluate(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.rollOut(ctx, s, finding)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.updateStatus(ctx, s, finding, result)
}

// Busy reports whether a reconcile is under way.
func (r *Reconciler) Busy() bool { return r.active.Load() > 0 }

// subject is an StsCredential and what its Secret holds. It does not change during a reconcile.
type subject struct {
	credential *v1alpha1.StsCredential
	// record is that of the Secret; nil if there is no Secret of this StsCredential, or if its record is not intact.
	record   *secret.Record
	issuance consumers.Issuance
	policy   consumers.RestartPolicy
}

func (s subject) key() types.NamespacedName { return client.ObjectKeyFromObject(s.credential) }

// subjectOf reads the Secret of an StsCredential from the cache.
func (r *Reconciler) subjectOf(ctx context.Context, c *v1alpha1.StsCredential) (subject, error) {
	s := subject{credential: c, policy: consumers.RestartPolicy{Duration: c.Duration()}}
	if r.Rollouts {
		s.policy.Auto, s.policy.Targets = c.Spec.Rollout.Mode == v1alpha1.RolloutAuto, targetsOf(c)
	}
	found := &corev1.Secret{}
	if err := r.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}, found); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	record, intact := secret.Read(found)
	if !intact || !secret.Owned(found, c) {
		return s, nil
	}
	s.record, s.issuance = record, consumers.IssuanceOf(c.Name, &record.Record, r.Skew())
	return s, nil
}

// reported reports whether the status is up to date with the spec and the Secret. Until then nothing is written or
// restarted: during a renewal, the cached Secret and the cached status can be of different issuances.
func (s subject) reported() bool {
	status := s.credential.Status
	if status.ObservedGeneration != s.credential.Generation || (s.record == nil) != (status.IssuedAt == nil) {
		return false
	}
	return s.record == nil || status.IssuedAt.Time.Equal(s.record.IssuedAt) && status.RequestID == s.record.RequestID
}

// SetupWithManager registers the controller and its triggers: the spec and the status that the credential controller writes,
// Secrets, pods, the deletion of namespaces, and Wake.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, maxConcurrentReconciles int) error {
	if err := IndexPods(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	r.wake = make(chan wakeUp)
	log := mgr.GetLogger().WithName("rollout")
	return ctrl.NewControllerManagedBy(mgr).
		Named("rollout").
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(reportChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(secret.CredentialRequests)).
		Watches(&corev1.Pod{}, r.podHandler()).
		WatchesMetadata(&corev1.Namespace{}, r.namespaceHandler()).
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

// terminating reports whether a namespace is being deleted. It is read from the cache, which holds its metadata.
func (r *Reconciler) terminating(ctx context.Context, namespace string) (bool, error) {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Get(ctx, types.NamespacedName{Name: namespace}, metadata)
	return !metadata.DeletionTimestamp.IsZero(), err
}
