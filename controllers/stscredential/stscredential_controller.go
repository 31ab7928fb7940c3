// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stscredential is the controller that keeps the Secret of each StsCredential valid.
package stscredential

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// Reconciler keeps the Secret of each StsCredential valid. All fields are required except ServiceAccounts, ClusterName and Region.
type Reconciler struct {
	// Client reads from the cache, in which Secrets are stripped (see package secret), and writes.
	client.Client
	// APIReader reads uncached.
	APIReader client.Reader
	// STS has the time by STS's clock. Budget limits the calls to STS.
	STS    STSClock
	Budget *ratelimit.Budget
	// Operator, ServiceAccounts and AccessKeys are the identities that may call STS. ServiceAccounts is nil if they are disabled.
	Operator        *identity.Operator
	ServiceAccounts *identity.ServiceAccounts
	AccessKeys      *identity.AccessKeys
	// Early carries requests to renew early.
	Early *renewal.Early
	// Clock is the local clock.
	Clock clock.WithTicker
	// Events records events. Audit logs each issuance.
	Events events.EventRecorder
	Audit  logr.Logger
	// Metrics counts what is done. Its methods Called and Waited must be given to the STS client and the budget.
	Metrics *metrics.Metrics
	// ClusterName stands before the namespace in session names; it may be empty.
	ClusterName string
	// Region is the value of .Region in templates and of the region in formats.
	Region string
	// TracksConsumers: the controller of package rollout runs, and owns status.consumers and the conditions PodsStale and
	// RolloutFailing.
	TracksConsumers bool
	// OnClockChange is called for each StsCredential when the clock has changed, because planned times are wrong then; it may be nil.
	OnClockChange func(context.Context, *v1alpha1.StsCredential)

	states objectStates
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

// Reconcile brings the Secret and the status of one StsCredential in line with its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if ctx.Err() != nil { // the process is shutting down
		return ctrl.Result{}, nil
	}
	process := ctx
	stopping := func() bool { return process.Err() != nil }
	ctx, cancel := drain.Context(process, r.Clock)
	defer cancel()
	credential := &v1alpha1.StsCredential{}
	if err := r.Get(ctx, request.NamespacedName, credential); err != nil {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !credential.DeletionTimestamp.IsZero() {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, r.secrets().handleDeletion(ctx, r.Events, credential)
	}
	state := r.states.of(credential, r.Clock.Now())
	if state.lags(credential, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: lagRetry}, nil
	}
	defer func() { state.recordVersion(credential, r.Clock.Now()) }()
	began, history := r.STS.Now(), state.history(credential)
	r.Metrics.Expired.Reconciling(credential, !history.specChanged, began)
	done, err := r.reconcile(ctx, credential, history, state, stopping)
	if errors.Is(err, errSecretExists) { // the issued credentials are pending; the second run checks the owner of the Secret
		state.secretExists = true
		done, err = r.reconcile(ctx, credential, state.history(credential), state, stopping)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	state.generation = credential.Generation
	status := statusWriter{r.Client, r.Clock, r.STS, r.Events, r.TracksConsumers, state.since}
	next, err := status.update(ctx, done)
	if err == nil {
		r.Metrics.Expired.Reconciled(credential, began, r.STS.Now())
	}
	return next, err
}

// reconcile runs the steps from the spec to the result. The errors of the steps are in the order of precedence of their
// reasons. It returns an error if a request to the API server failed, or errSecretExists.
func (r *Reconciler) reconcile(ctx context.Context, c *v1alpha1.StsCredential, earlier history, state *objectState, stopping func() bool) (result, error) {
	requested, specErr := readSpec(c, r.ClusterName, r.Region)
	allowed, accessErr := authorize(ctx, r.Client, c, requested.request, r.ClusterName)
	blocked, err := first(specErr, accessErr)
	if err != nil {
		return result{}, err
	}
	t := target{credential: c, spec: requested, access: allowed, history: earlier, specRefused: specErr != nil}

	secrets := r.secrets()
	found, conflictErr := secrets.observe(ctx, t, blocked)
	if _, err := first(conflictErr); err != nil {
		return result{}, err
	}
	finalizerErr := secrets.restoreFinalizer(ctx, t, found)
	decider := decider{r.Early, r.STS}
	decision := decider.decide(t, found)
	suspendedErr := suspended(t, decision)
	blocked, err = first(specErr, accessErr, conflictErr, finalizerErr, suspendedErr)
	if err != nil {
		return result{}, err
	}

	calls := roleAssumer{r.Operator, r.ServiceAccounts, r.AccessKeys, r.Budget, r.Clock, r.Audit, stopping}
	renewer := renewer{decider, calls, secrets, r.Clock, r.Metrics}
	renewed, renewErr := renewer.renew(ctx, t, found, decision, blocked, &state.renewal)
	r.states.recordSecret(state, renewed)
	if _, err := first(renewErr); err != nil {
		return result{}, err
	}
	synced, syncErr := secrets.syncMetadata(ctx, t, renewed, &state.sync)
	r.states.recordSecret(state, synced)
	state.renewal.recordRefusal(syncErr)
	decision = decider.decide(t, synced)
	due, orphanErr := secrets.deleteOrphans(ctx, t, decision)

	errs := []error{specErr, accessErr, conflictErr, finalizerErr, suspendedErr, renewErr, syncErr, orphanErr, suspended(t, decision)}
	failed, err := first(errs...)
	held := blocked != nil || renewErr != nil
	return result{target: t, existing: synced, decision: decision, held: held, err: failed, due: append(due, retries(errs)...)}, err
}

func (r *Reconciler) secrets() secrets {
	return secrets{Client: r.Client, uncached: r.APIReader, clock: r.Clock, sts: r.STS}
}

// forget drops the state of an object that is deleted or being deleted.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.states.forget(key)
	r.Early.Forget(key)
	r.Budget.Cancel(key)
	r.Metrics.Expired.Over(key, r.STS.Now())
}
