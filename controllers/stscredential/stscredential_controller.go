// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stscredential keeps the Secret of each StsCredential valid: it looks, decides, asks STS, writes, and tells.
package stscredential

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
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
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// STS tells STS's time, as far as its answers did. Implemented by *sts.Client.
type STS interface {
	Now() time.Time
	Skew() time.Duration
	GetCallerIdentity(ctx context.Context, keys credentials.Credentials) (sts.Caller, error)
}

// Reconciler keeps the Secret of each StsCredential valid. All fields are required except ServiceAccounts, ClusterName and Region.
type Reconciler struct {
	// Client reads from the cache, in which Secrets are stripped (see package secret), and writes.
	client.Client
	// Live reads past the cache.
	Live client.Reader
	// STS tells the time, Budget how often it may be asked.
	STS    STS
	Budget *ratelimit.Budget
	// Operator, ServiceAccounts and AccessKeys are who may ask STS. ServiceAccounts is nil where they are switched off.
	Operator        *identity.Operator
	ServiceAccounts *identity.ServiceAccounts
	AccessKeys      *identity.AccessKeys
	// Early carries requests to renew before the time.
	Early *renewal.Early
	// Clock is the local clock.
	Clock clock.WithTicker
	// Events and Audit tell people and logs what was done.
	Events events.EventRecorder
	Audit  logr.Logger
	// Metrics counts what is done; it is to be told of calls and waits, too (see its methods).
	Metrics *Metrics
	// ClusterName stands before the namespace in session names; it may be empty.
	ClusterName string
	// Region is what templates and the formats that need one are given.
	Region string
	// TracksConsumers: the controller of package rollout runs, and owns status.consumers and the conditions PodsStale and
	// RolloutFailing.
	TracksConsumers bool

	memory   memory
	wake     chan wakeUp
	requests *fairqueue.Queue
	passes   atomic.Int64 // that are under way
}

// Least privilege: a rule for each thing that the code does.
//
// +kubebuilder:rbac:groups=sts.alibabacloud.com,resources=stscredentials,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sts.alibabacloud.com,resources=stscredentials/status,verbs=update
// +kubebuilder:rbac:groups=sts.alibabacloud.com,resources=stscredentials/finalizers,verbs=update
// +kubebuilder:rbac:groups=sts.alibabacloud.com,resources=stsrolegrants,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Reconcile makes one pass over an StsCredential.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if ctx.Err() != nil { // the process ends: nothing is begun any more
		return ctrl.Result{}, nil
	}
	r.passes.Add(1)
	defer r.passes.Add(-1)
	process := ctx
	stopping := func() bool { return process.Err() != nil }
	ctx, cancel := r.drained(process)
	defer cancel()
	credential := &v1alpha1.StsCredential{}
	if err := r.Get(ctx, request.NamespacedName, credential); err != nil {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !credential.DeletionTimestamp.IsZero() {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, r.release(ctx, credential)
	}
	memo := r.memory.of(credential, r.Clock.Now())
	if memo.statusLags(credential, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: lagRetry}, nil
	}
	began := r.STS.Now()
	r.Metrics.expired.before(credential, memo.generation == credential.Generation, began)
	known := memo.secretInTheWay
	p := &pass{credential: credential, memo: memo, stopping: stopping}
	err := r.walk(ctx, p)
	if err == nil && memo.secretInTheWay != known { // what was issued is kept: whose the Secret is decides what becomes of it
		p = &pass{credential: credential, memo: memo, stopping: stopping}
		err = r.walk(ctx, p)
	}
	if err != nil {
		return ctrl.Result{}, err // it keeps its place in the budget
	}
	if !p.queued {
		r.Budget.Cancel(request.NamespacedName) // whatever it waited for before
	}
	next, err := r.report(ctx, p)
	if err == nil {
		r.Metrics.expired.note(credential, began, r.STS.Now())
	}
	return next, err
}

// Busy tells whether a pass is under way: what can wait should.
func (r *Reconciler) Busy() bool { return r.passes.Load() > 0 }

// forget an object that is no more.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.memory.forget(key)
	r.Early.Forget(key)
	r.Budget.Cancel(key)
	r.Metrics.expired.over(key, r.STS.Now())
}

// walk is a pass from what is wanted to what is done. Its steps run in the order of precedence of the reasons, and the
// first trouble is the one that is told. An error is the API server's: the cache could not be read.
func (r *Reconciler) walk(ctx context.Context, p *pass) error {
	r.plan(p)
	if err := r.authorise(ctx, p); err != nil {
		return err
	}
	if err := r.observe(ctx, p); err != nil {
		return err
	}
	r.rebind(ctx, p)
	r.decide(p)
	switch {
	case !p.decision.Renew():
		p.memo.found(p)
	case p.trouble != nil:
		p.memo.found(p)
		r.Metrics.attempted(p)
	default:
		r.renew(ctx, p)
	}
	r.settle(ctx, p)
	p.memo.generation = p.credential.Generation
	if err := r.prune(ctx, p); err != nil {
		return err
	}
	return nil
}

// SetupWithManager registers the controller and what wakes it: the spec and the annotations of StsCredentials, their
// Secrets, grants, the labels of namespaces, the clock, turns in the budget and requests to renew early; never the status.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, maxConcurrentReconciles int) error {
	r.wake = make(chan wakeUp)
	if err := IndexSecrets(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := mgr.Add(&clockWatch{Reconciler: r, leading: mgr.Elected(), jump: wallJump}); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.StsCredential{}, builder.WithPredicates(specOrWish())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.credentialsOfSecret), builder.WithPredicates(r.byOthers())).
		Watches(&v1alpha1.StsCredential{}, r.releasedHandler()).
		Watches(&v1alpha1.StsRoleGrant{}, r.grantHandler()).
		WatchesMetadata(&corev1.Namespace{}, r.namespaceHandler()).
		WatchesRawSource(r.wakeSource()).
		WatchesRawSource(r.turnSource()).
		WatchesRawSource(r.earlySource()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentReconciles,
			ReconciliationTimeout:   time.Minute,
			NewQueue:                r.newQueue(maxConcurrentReconciles),
			RecoverPanic:            ptr.To(true), // an error like others then: it is tried again, ever later
			LogConstructor:          logConstructor(mgr.GetLogger()),
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, time.Minute),
		}).
		Complete(r)
}

// logConstructor names the object in a pass's log lines. controller-runtime's own names it twice and its kind three times,
// which is encoded for each pass, whether it logs or not.
func logConstructor(log logr.Logger) func(*reconcile.Request) logr.Logger {
	log = log.WithName("stscredential")
	return func(request *reconcile.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues("namespace", request.Namespace, "name", request.Name)
	}
}

// namespaceMetadata is what the cache keeps of a namespace.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}
