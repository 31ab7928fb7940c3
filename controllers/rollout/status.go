// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// blockedReasons are why workloads are not restarted, in the order of precedence.
var blockedReasons = []string{
	v1alpha1.ReasonRolloutUnfinished, v1alpha1.ReasonRolloutsDisabled, v1alpha1.ReasonRolloutForbidden, v1alpha1.ReasonTargetNotFound,
	v1alpha1.ReasonWorkloadPaused, v1alpha1.ReasonStrategyUnsuited, v1alpha1.ReasonRolloutRefused,
}

// updateStatus writes this controller's part of the status, if it changed, and records an event for each change of a
// condition. The credential controller owns the other fields, which stay unchanged. If the object has changed since it was
// read, the API server rejects the update, and the object is reconciled again.
func (r *Reconciler) updateStatus(ctx context.Context, s subject, finding *consumers.Finding, outcome result) (ctrl.Result, error) {
	next := ctrl.Result{RequeueAfter: outcome.after}
	if finding != nil && !finding.Next.IsZero() {
		next.RequeueAfter = soonest(outcome.after, max(finding.Next.Sub(r.Clock.Now()), time.Millisecond)) // it may have come meanwhile
	}
	c := s.credential
	before := c.Status.DeepCopy()
	c.Status.Consumers = r.consumers(finding)
	r.setConditions(c, finding, outcome)
	if equality.Semantic.DeepEqual(*before, c.Status) {
		return next, nil
	}
	switch err := r.Status().Update(ctx, c); {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: retry.WriteConflict}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.recordEvents(before, c)
	return next, nil
}

// setConditions sets the conditions that are this controller's. They are absent while nothing is wrong.
func (r *Reconciler) setConditions(c *v1alpha1.StsCredential, finding *consumers.Finding, outcome result) {
	set := func(kind, reason, message string) {
		if reason == "" {
			meta.RemoveStatusCondition(&c.Status.Conditions, kind)
			return
		}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message,
			ObservedGeneration: c.Generation, LastTransitionTime: metav1.Time{Time: r.Clock.Now()},
		})
	}
	stale, message := "", ""
	if finding != nil && len(finding.Left) > 0 {
		stale, message = v1alpha1.ReasonPodsOutliveCredentials, eventrecorder.Bounded(fmt.Sprintf(
			"Pods still use superseded credentials from Secret %s: %s. Restart them, mount the Secret as a volume, or set spec.rollout.",
			c.SecretName(), r.named(finding.Left)))
	}
	set(v1alpha1.ConditionPodsStale, stale, message)
	if blocked := outcome.reason(); blocked != "" || outcome.unread == (consumers.Workload{}) { // what was not read is as it was
		set(v1alpha1.ConditionRolloutFailing, blocked, outcome.blocked[blocked])
	}
}

// reason returns the reason with the highest precedence why workloads are not restarted; empty if there is none.
func (r result) reason() string {
	i := slices.IndexFunc(blockedReasons, func(reason string) bool { return r.blocked[reason] != "" })
	if i < 0 {
		return ""
	}
	return blockedReasons[i]
}

// recordEvents records pods that are left stale and restarts that do not work, once for each reason.
func (r *Reconciler) recordEvents(before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	for _, kind := range []string{v1alpha1.ConditionPodsStale, v1alpha1.ConditionRolloutFailing} {
		was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(after.Status.Conditions, kind)
		if is != nil && (was == nil || was.Reason != is.Reason) {
			r.Events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, kind, "%s", is.Message)
		}
	}
}

// maxPods is more than a namespace has.
const maxPods = 1 << 30

// consumers is status.consumers; nil where the Secret holds nothing.
func (r *Reconciler) consumers(finding *consumers.Finding) *v1alpha1.Consumers {
	if finding == nil {
		return nil
	}
	counted := &v1alpha1.Consumers{Pods: int32(min(finding.Pods, maxPods)), Stale: int32(min(len(finding.Stale), maxPods))} //nolint:gosec // it is bounded
	if counted.Stale > 0 && !finding.Stale[0].Held.Unknown() {
		counted.StaleExpireAt = &metav1.Time{Time: r.stsTime(finding.Stale[0].Held.ExpiresAt)}
	}
	return counted
}

// stsTime is a time of the local clock by STS's.
func (r *Reconciler) stsTime(local time.Time) time.Time {
	return local.Add(r.Skew()).UTC().Truncate(time.Second)
}

// named lists pods, and when the first of their credentials expire, as far as that is known.
func (r *Reconciler) named(pods []consumers.StalePod) string {
	names := make([]string, len(pods))
	for i, pod := range pods {
		names[i] = pod.Name
	}
	if pods[0].Held.Unknown() {
		return fmt.Sprintf("%s (%s started before the credentials were issued)", consumers.Listed(names), pods[0].Name)
	}
	return fmt.Sprintf("%s (until %s)", consumers.Listed(names), r.stsTime(pods[0].Held.ExpiresAt).Format(time.RFC3339))
}
