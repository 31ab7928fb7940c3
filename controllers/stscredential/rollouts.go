// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

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
	// obstacleRetry is when a workload that cannot be restarted is looked at again: it sends no events.
	obstacleRetry = 5 * time.Minute
	// stampRetry is when a workload that somebody else wrote to, or that waits for others' renewals, is looked at again.
	stampRetry = time.Second
	// companionPatience is how long after a renewal a workload waits for the renewals of what else it reads.
	companionPatience = 30 * time.Second
	// maxStamped bounds how many StsCredentials a restart is noted for.
	maxStamped = 16
)

// rolloutReasons are why workloads are not restarted, in the order of precedence.
var rolloutReasons = []string{
	v1alpha1.ReasonRolloutUnfinished, v1alpha1.ReasonRolloutsDisabled, v1alpha1.ReasonRolloutForbidden, v1alpha1.ReasonTargetNotFound,
	v1alpha1.ReasonWorkloadPaused, v1alpha1.ReasonStrategyUnsuited, v1alpha1.ReasonRolloutRefused,
}

// rollOut restarts the workloads whose pods hold what the Secret held before, as far as the spec asks for it. What it does
// follows from the pods and the stamps on the workloads, so that it heals after a crash and repeats nothing.
func (r *Reconciler) rollOut(ctx context.Context, p *pass) {
	switch c := p.credential; {
	case !c.Restarts() || c.Spec.Suspend || p.ending:
		return
	case !r.Rollouts:
		p.obstacles = map[string]string{v1alpha1.ReasonRolloutsDisabled: "spec.rollout asks for restarts, which this operator is not allowed to make: a cluster admin switches them on with the flag --rollouts and the rights that it needs"}
		return
	case p.consumers == nil || !p.decision.Usable:
		return
	}
	for _, due := range p.memo.fromNextRead(p.consumers.Due) {
		r.attend(ctx, p, due)
	}
	for _, target := range p.restarts.Targets {
		r.seek(ctx, p, target)
	}
}

// obstructed notes why a workload is not restarted.
func (p *pass) obstructed(reason, message string) {
	if p.obstacles == nil {
		p.obstacles = map[string]string{}
	}
	if p.obstacles[reason] == "" {
		p.obstacles[reason] = bounded(message)
	}
	p.looks = append(p.looks, obstacleRetry)
}

// attend restarts a workload, or says when or why not.
func (r *Reconciler) attend(ctx context.Context, p *pass, due consumers.Due) {
	late, at := due.Late(r.Clock.Now(), p.issue)
	if late {
		p.obstructed(v1alpha1.ReasonRolloutUnfinished, fmt.Sprintf("%s has not replaced pods in time: %s. See why with kubectl describe, or delete them.",
			due.Workload, r.named(due.Pods)))
	} else {
		p.looks = append(p.looks, at.Sub(r.Clock.Now()))
	}
	object, err := r.getWorkload(ctx, p, due.Workload)
	if err != nil {
		if !errors.Is(err, errReadDeferred) && !apierrors.IsNotFound(err) { // not found: its pods are about to go, too
			r.unreachable(p, due.Workload, "read", err)
		}
		return
	}
	state, err := consumers.StateOf(object)
	if err != nil {
		p.obstructed(v1alpha1.ReasonStrategyUnsuited, fmt.Sprintf("%s: %v", due.Workload, err))
		return
	}
	step := due.Next(r.Clock.Now(), p.seen.Name, p.issue, p.restarts, state)
	if step.Obstacle != "" {
		p.obstructed(step.Obstacle, step.Message)
	}
	switch {
	case !step.Restart:
		p.looks = append(p.looks, step.At.Sub(r.Clock.Now()))
	case r.renewEarly(ctx, p, state):
		p.looks = append(p.looks, stampRetry)
	default:
		r.restart(ctx, p, object, due, state)
	}
}

// seek tells of a target that does not exist. One that has pods does.
func (r *Reconciler) seek(ctx context.Context, p *pass, target consumers.Workload) {
	var pods corev1.PodList
	err := r.List(ctx, &pods, client.InNamespace(p.credential.Namespace), client.MatchingFields{byWorkload: target.String()}, client.Limit(1), client.UnsafeDisableDeepCopy)
	if err != nil || len(pods.Items) > 0 {
		return
	}
	err = r.findTarget(ctx, p, target)
	switch {
	case errors.Is(err, errReadDeferred):
	case apierrors.IsNotFound(err):
		p.obstructed(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("spec.rollout.targets: there is no %s in namespace %s. Correct the name, or create it.", target, p.credential.Namespace))
	case err != nil:
		r.unreachable(p, target, "read", err)
	}
}

// unreachable tells that the API server did not let a workload be read or changed.
func (r *Reconciler) unreachable(p *pass, w consumers.Workload, verb string, err error) {
	why, passing := apiserver.Describe(err)
	switch {
	case meta.IsNoMatchError(err):
		p.obstructed(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("%s: Kind %s is not installed in this cluster. Install it, or correct spec.rollout.targets.", w, w.Kind))
		return
	case apierrors.IsForbidden(err):
		p.obstructed(v1alpha1.ReasonRolloutForbidden, fmt.Sprintf("the operator may not %s %s: a cluster admin gives it the rights that --rollouts needs; %s", verb, w, why))
	case passing:
		p.obstructed(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("%s could not be %s: %s", w, verb, why))
		p.looks = append(p.looks, transientMax)
	default:
		p.obstructed(v1alpha1.ReasonRolloutRefused, fmt.Sprintf("%s cannot be restarted: %s", w, why))
	}
	r.Metrics.rolledOut(v1alpha1.ReasonRolloutRefused)
}

// renewEarly renews first what else the workload reads and is due within a quarter of its life, so that one restart serves
// all of it. It reports whether there is something to wait for.
func (r *Reconciler) renewEarly(ctx context.Context, p *pass, state consumers.State) (wait bool) {
	if !r.Clock.Now().Before(p.record.WrittenAt.Add(companionPatience)) {
		return false
	}
	for _, name := range r.credentialsIn(ctx, p.credential.Namespace, state.Holds) {
		other := r.credentialNamed(ctx, p.credential.Namespace, name)
		if name == p.credential.Name || other == nil || !renewsSoon(other, r.STS.Now()) {
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

// restart stamps the workload's pod template with what its pods will read.
func (r *Reconciler) restart(ctx context.Context, p *pass, object *unstructured.Unstructured, due consumers.Due, state consumers.State) {
	err := r.Patch(ctx, object, client.RawPatch(types.MergePatchType, due.Workload.RestartPatch(p.issue, r.stamp(ctx, p, state), state, object.GetResourceVersion())))
	switch {
	case err == nil:
		r.Metrics.rolledOut(v1alpha1.ReasonRestarted)
		r.Events.Eventf(p.credential, object, corev1.EventTypeNormal, v1alpha1.ReasonRestarted, "Restart",
			"%s is restarted: pods use superseded credentials from Secret %s: %s", due.Workload, p.seen.Name, r.named(due.Pods))
	case apiserver.IsConflict(err):
		p.looks = append(p.looks, stampRetry)
	default:
		r.unreachable(p, due.Workload, "patch", err)
	}
}

// stamp names the present issue of each credential that the workload reads, is restarted for, or was.
func (r *Reconciler) stamp(ctx context.Context, p *pass, state consumers.State) consumers.Stamp {
	stamp := consumers.Stamp{For: map[string]string{p.issue.Credential: p.issue.ID}, At: r.Clock.Now()}
	names := append(r.credentialsIn(ctx, p.credential.Namespace, state.Holds), slices.Collect(maps.Keys(state.Stamp.For))...)
	for _, name := range names {
		other := r.credentialNamed(ctx, p.credential.Namespace, name)
		if other == nil || name == p.credential.Name || len(stamp.For) == maxStamped {
			continue
		}
		held := &corev1.Secret{}
		if r.Get(ctx, types.NamespacedName{Namespace: other.Namespace, Name: other.SecretName()}, held) != nil {
			continue
		}
		if record, _ := secret.Read(held); record != nil && secret.Owned(held, other) {
			stamp.For[name] = consumers.ID(record.RequestID, record.AccessKeyID)
		}
	}
	return stamp
}

// credentialsIn are the names of the StsCredentials whose Secrets these are.
func (r *Reconciler) credentialsIn(ctx context.Context, namespace string, secrets []string) (names []string) {
	for _, name := range secrets {
		held := &corev1.Secret{}
		if r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, held) == nil {
			for _, request := range credentialOfSecret(ctx, held) {
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
