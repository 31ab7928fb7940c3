// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// updateStatus writes the status, if it changed, and records an event for each change of a condition. It returns when to
// reconcile again: when a restart, a read of a workload, or a pod that becomes stale is due. The credential controller owns the
// other fields, which stay unchanged. If the object has changed since it was read, the API server rejects the update, and the
// object is reconciled again.
func updateStatus(
	ctx context.Context, c client.Client, recorder events.EventRecorder, s subject, finding *consumers.Finding, restarts result,
) (ctrl.Result, error) {
	next := ctrl.Result{RequeueAfter: restarts.after}
	if finding != nil && !finding.Next.IsZero() {
		next.RequeueAfter = soonest(restarts.after, finding.Next.Sub(s.now))
	}
	before := s.credential.Status.DeepCopy()
	s.credential.Status.Consumers = count(s, finding)
	setConditions(s, finding, restarts)
	if equality.Semantic.DeepEqual(*before, s.credential.Status) {
		return next, nil
	}
	switch err := c.Status().Update(ctx, s.credential); {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: retry.WriteConflict}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	recordEvents(recorder, before, s.credential)
	return next, nil
}

// count returns status.consumers; nil where the Secret holds nothing.
func count(s subject, finding *consumers.Finding) *v1alpha1.Consumers {
	if finding == nil {
		return nil
	}
	counted := &v1alpha1.Consumers{Pods: int32(finding.Pods), Stale: int32(len(finding.Stale))} //nolint:gosec // fewer pods fit into memory
	if counted.Stale > 0 && !finding.Stale[0].Held.Unknown() {
		counted.StaleExpireAt = &metav1.Time{Time: s.stsTime(finding.Stale[0].Held.ExpiresAt)}
	}
	return counted
}

// setConditions sets the conditions that are this controller's. They are absent while nothing is wrong.
func setConditions(s subject, finding *consumers.Finding, restarts result) {
	c := s.credential
	set := func(kind, reason, message string) {
		if reason == "" {
			meta.RemoveStatusCondition(&c.Status.Conditions, kind)
			return
		}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message,
			ObservedGeneration: c.Generation, LastTransitionTime: metav1.Time{Time: s.now},
		})
	}
	stale, message := "", ""
	if finding != nil && len(finding.Left) > 0 {
		stale, message = v1alpha1.ReasonPodsOutliveCredentials, eventrecorder.Bounded(fmt.Sprintf(
			"Pods still use superseded credentials from Secret %s: %s. Restart them, mount the Secret as a volume, or set spec.rollout.",
			c.SecretName(), s.listed(finding.Left)))
	}
	set(v1alpha1.ConditionPodsStale, stale, message)
	if restarts.reason != "" || restarts.unread == (consumers.Workload{}) { // a workload that was not read keeps its condition
		set(v1alpha1.ConditionRolloutFailing, restarts.reason, restarts.message)
	}
}

// recordEvents records pods that are left stale and restarts that do not work, once for each reason.
func recordEvents(recorder events.EventRecorder, before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	for _, kind := range []string{v1alpha1.ConditionPodsStale, v1alpha1.ConditionRolloutFailing} {
		was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(after.Status.Conditions, kind)
		if is != nil && (was == nil || was.Reason != is.Reason) {
			recorder.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, kind, "%s", is.Message)
		}
	}
}
