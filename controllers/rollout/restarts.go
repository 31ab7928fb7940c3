// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const (
	// transientRetry is when a request is repeated that the API server did not answer, or refused for a while.
	transientRetry = time.Minute
	// restartRetry is the delay before a restart is tried again after another client wrote to the workload, or while other
	// credentials of it are renewed.
	restartRetry = time.Second
	// companionWait is how long after a renewal a workload waits for the renewals of what else it reads.
	companionWait = 30 * time.Second
	// maxRestartedCredentials bounds how many StsCredentials a restart is noted for.
	maxRestartedCredentials = 16
)

// rollOut restarts the workloads whose pods use superseded credentials, as spec.rollout selects them. It decides from the
// pods and the restart annotations on the workloads alone. So it continues after a crash, and restarts no workload twice.
func (r *Reconciler) rollOut(ctx context.Context, s subject, finding *consumers.Finding) (result, error) {
	c := s.credential
	if !c.Restarts() || c.Spec.Suspend {
		return result{}, nil
	}
	terminating, err := r.terminating(ctx, c.Namespace)
	switch {
	case err != nil:
		return result{}, fmt.Errorf("read namespace %s: %w", c.Namespace, err)
	case terminating:
		return result{}, nil
	case !r.Rollouts:
		return result{blocked: map[string]string{v1alpha1.ReasonRolloutsDisabled: consumers.RestartsDisabled}}, nil
	case finding == nil || !r.usable(s):
		return result{}, nil
	}
	return r.restartWorkloads(ctx, s, finding.Due)
}

// restartWorkloads restarts the workloads that are due, and verifies that targets exist.
func (r *Reconciler) restartWorkloads(ctx context.Context, s subject, due []consumers.Due) (result, error) {
	known := r.reads.of(s)
	var all result
	for _, workload := range startingWith(known.next, due) {
		all = all.and(r.restartIfDue(ctx, s, workload))
	}
	for _, target := range s.policy.Targets {
		verified, err := r.verifyTarget(ctx, s, target)
		if err != nil {
			return result{}, err
		}
		all = all.and(verified)
	}
	if all.unread != (consumers.Workload{}) {
		known.next = all.unread
	}
	return all, nil
}

// usable reports whether the Secret holds credentials for the current spec that work now, as the credential controller
// reports it.
func (r *Reconciler) usable(s subject) bool {
	return meta.IsStatusConditionTrue(s.credential.Status.Conditions, v1alpha1.ConditionReady) &&
		r.Clock.Now().Add(r.Skew()).Before(s.record.ExpiresAt)
}

// restartIfDue restarts a workload, or says when or why not.
func (r *Reconciler) restartIfDue(ctx context.Context, s subject, due consumers.Due) result {
	now := r.Clock.Now()
	late, at := due.Late(now, s.issuance)
	inTime := retryAfter(at.Sub(now))
	if late {
		inTime = blockedBy(v1alpha1.ReasonRolloutUnfinished, fmt.Sprintf("%s has not replaced pods in time: %s. See why with kubectl describe, or delete them.",
			due.Workload, r.named(due.Pods)))
	}
	object, err := r.getWorkload(ctx, s.credential.Namespace, due.Workload)
	switch {
	case errors.Is(err, errReadDeferred):
		return inTime.and(result{unread: due.Workload, after: readRetry})
	case apierrors.IsNotFound(err): // its pods are about to go, too
		return inTime
	case err != nil:
		return inTime.and(r.failed(due.Workload, "read", err))
	}
	state, err := consumers.StateOf(object)
	if err != nil {
		return inTime.and(blockedBy(v1alpha1.ReasonStrategyUnsuited, fmt.Sprintf("%s: %v", due.Workload, err)))
	}
	step := due.Next(now, s.credential.SecretName(), s.issuance, s.policy, state)
	if step.BlockedReason != "" {
		inTime = inTime.and(blockedBy(step.BlockedReason, step.Message))
	}
	switch {
	case !step.Restart:
		return inTime.and(retryAfter(step.At.Sub(now)))
	case r.renewCompanions(ctx, s, state):
		return inTime.and(retryAfter(restartRetry))
	}
	return inTime.and(r.restart(ctx, s, object, due, state))
}

// verifyTarget reports a target that does not exist. A target with pods is not read, because it exists.
func (r *Reconciler) verifyTarget(ctx context.Context, s subject, target consumers.Workload) (result, error) {
	namespace := s.credential.Namespace
	var pods corev1.PodList
	err := r.List(ctx, &pods, client.InNamespace(namespace), client.MatchingFields{byWorkload: target.String()}, client.Limit(1), client.UnsafeDisableDeepCopy)
	if err != nil || len(pods.Items) > 0 {
		return result{}, err
	}
	holds, err := r.getTarget(ctx, s, target)
	switch {
	case err == nil:
		return result{}, nil
	case errors.Is(err, errReadDeferred):
		return result{unread: target, after: holds}, nil
	case apierrors.IsNotFound(err):
		missing := fmt.Sprintf("spec.rollout.targets: there is no %s in namespace %s. Correct the name, or create it.", target, namespace)
		return blockedBy(v1alpha1.ReasonTargetNotFound, missing).and(retryAfter(holds)), nil
	}
	return r.failed(target, "read", err).and(retryAfter(holds)), nil
}

// failed is the result for a workload that the API server did not let be read or patched.
func (r *Reconciler) failed(w consumers.Workload, verb string, err error) result {
	why, transient := apiserver.Describe(err)
	if meta.IsNoMatchError(err) {
		return blockedBy(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("%s: Kind %s is not installed in this cluster. Install it, or correct spec.rollout.targets.", w, w.Kind))
	}
	r.Results.WithLabelValues(v1alpha1.ReasonRolloutRefused).Inc()
	switch {
	case apierrors.IsForbidden(err):
		return blockedBy(v1alpha1.ReasonRolloutForbidden, fmt.Sprintf("the operator may not %s %s: %s. Ask a cluster administrator for the permissions that --rollouts requires.", verb, w, why))
	case transient:
		return blockedBy(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("failed to %s %s: %s", verb, w, why)).and(retryAfter(transientRetry))
	}
	return blockedBy(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("%s cannot be restarted: %s", w, why))
}

// restart patches the workload with a restart annotation that names what its pods will read.
func (r *Reconciler) restart(ctx context.Context, s subject, object *unstructured.Unstructured, due consumers.Due, state consumers.State) result {
	patch := due.Workload.RestartPatch(s.issuance, r.annotation(ctx, s, state), state, object.GetResourceVersion())
	switch err := r.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); {
	case apiserver.IsConflict(err):
		return retryAfter(restartRetry)
	case err != nil:
		return r.failed(due.Workload, "patch", err)
	}
	r.Results.WithLabelValues(v1alpha1.ReasonRestarted).Inc()
	r.Events.Eventf(s.credential, object, corev1.EventTypeNormal, v1alpha1.ReasonRestarted, "Restart",
		"%s is restarted: pods use superseded credentials from Secret %s: %s", due.Workload, s.credential.SecretName(), r.named(due.Pods))
	return result{}
}

// renewCompanions requests early renewals of what else the workload reads and is due soon, so that one restart serves all of
// it. It reports whether there is something to wait for.
func (r *Reconciler) renewCompanions(ctx context.Context, s subject, state consumers.State) (wait bool) {
	now := r.Clock.Now()
	if !now.Before(s.record.WrittenAt.Add(companionWait)) {
		return false
	}
	for _, name := range r.credentialsIn(ctx, s.credential.Namespace, state.Holds) {
		other := r.credentialNamed(ctx, s.credential.Namespace, name)
		if name == s.credential.Name || other == nil || !renewsSoon(other, now.Add(r.Skew())) {
			continue
		}
		r.Early.Request(ctx, client.ObjectKeyFromObject(other), other.Status.RequestID)
		wait = true
	}
	return wait
}

// renewsSoon reports whether a credential restarts workloads, works, and is due soon.
func renewsSoon(c *v1alpha1.StsCredential, now time.Time) bool {
	s := c.Status
	if !c.Restarts() || c.Spec.Suspend || s.IssuedAt == nil || s.ExpiresAt == nil || s.RenewAt == nil || s.RequestID == "" {
		return false
	}
	healthy := meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReady) && !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionRenewalFailing)
	return healthy && renewal.DueSoon(now, s.IssuedAt.Time, s.ExpiresAt.Time, s.RenewAt.Time)
}

// annotation names the present issuance of each credential that the workload reads, is restarted for, or was.
func (r *Reconciler) annotation(ctx context.Context, s subject, state consumers.State) consumers.RestartAnnotation {
	restarted := consumers.RestartAnnotation{For: map[string]string{s.issuance.Credential: s.issuance.ID}, At: r.Clock.Now()}
	names := append(r.credentialsIn(ctx, s.credential.Namespace, state.Holds), slices.Collect(maps.Keys(state.Restarted.For))...)
	for _, name := range names {
		other := r.credentialNamed(ctx, s.credential.Namespace, name)
		if other == nil || name == s.credential.Name || len(restarted.For) == maxRestartedCredentials {
			continue
		}
		held := &corev1.Secret{}
		if r.Get(ctx, types.NamespacedName{Namespace: other.Namespace, Name: other.SecretName()}, held) != nil {
			continue
		}
		if record, _ := secret.Read(held); record != nil && secret.Owned(held, other) {
			restarted.For[name] = consumers.ID(record.RequestID, record.AccessKeyID)
		}
	}
	return restarted
}

// credentialsIn are the names of the StsCredentials whose Secrets these are.
func (r *Reconciler) credentialsIn(ctx context.Context, namespace string, secrets []string) (names []string) {
	for _, name := range secrets {
		held := &corev1.Secret{}
		if r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, held) == nil {
			for _, request := range secret.CredentialRequests(ctx, held) {
				names = append(names, request.Name)
			}
		}
	}
	return names
}

// credentialNamed reads an StsCredential from the cache; nil if there is none.
func (r *Reconciler) credentialNamed(ctx context.Context, namespace, name string) *v1alpha1.StsCredential {
	c := &v1alpha1.StsCredential{}
	if r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, c) != nil {
		return nil
	}
	return c
}
