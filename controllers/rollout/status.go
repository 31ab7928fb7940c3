// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// statusWriter writes this controller's part of the status of an StsCredential.
type statusWriter struct {
	client.Client
	clock  clock.PassiveClock
	events events.EventRecorder
}

// update writes the status, if it changed, and records an event for each change of a condition. It returns when to reconcile
// again. The credential controller owns the other fields, which stay unchanged. If the object has changed since it was read,
// the API server rejects the update, and the object is reconciled again.
func (w statusWriter) update(ctx context.Context, s subject, finding *consumers.Finding, restarts result) (ctrl.Result, error) {
	next := requeue(finding, restarts, w.clock.Now())
	c := s.credential
	before := c.Status.DeepCopy()
	c.Status.Consumers = count(s, finding)
	setConditions(s, finding, restarts, metav1.Time{Time: w.clock.Now()})
	if equality.Semantic.DeepEqual(*before, c.Status) {
		return next, nil
	}
	switch err := w.Status().Update(ctx, c); {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: retry.WriteConflict}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	recordEvents(w.events, before, c)
	return next, nil
}

// requeue returns when something is due by itself: a restart, a read of a workload, or a pod that becomes stale.
func requeue(finding *consumers.Finding, restarts result, now time.Time) ctrl.Result {
	if finding == nil || finding.Next.IsZero() {
		return ctrl.Result{RequeueAfter: restarts.after}
	}
	stale := max(finding.Next.Sub(now), time.Millisecond) // it may have come meanwhile
	return ctrl.Result{RequeueAfter: soonest(restarts.after, stale)}
}

// maxPods is more than a namespace has.
const maxPods = 1 << 30

// count returns status.consumers; nil where the Secret holds nothing.
func count(s subject, finding *consumers.Finding) *v1alpha1.Consumers {
	if finding == nil {
		return nil
	}
	counted := &v1alpha1.Consumers{Pods: int32(min(finding.Pods, maxPods)), Stale: int32(min(len(finding.Stale), maxPods))} //nolint:gosec // it is bounded
	if counted.Stale > 0 && !finding.Stale[0].Held.Unknown() {
		counted.StaleExpireAt = &metav1.Time{Time: s.stsTime(finding.Stale[0].Held.ExpiresAt)}
	}
	return counted
}

// setConditions sets the conditions that are this controller's. They are absent while nothing is wrong.
func setConditions(s subject, finding *consumers.Finding, restarts result, now metav1.Time) {
	c := s.credential
	set := func(kind, reason, message string) {
		if reason == "" {
			meta.RemoveStatusCondition(&c.Status.Conditions, kind)
			return
		}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message,
			ObservedGeneration: c.Generation, LastTransitionTime: now,
		})
	}
	stale, message := "", ""
	if finding != nil && len(finding.Left) > 0 {
		stale, message = v1alpha1.ReasonPodsOutliveCredentials, eventrecorder.Bounded(fmt.Sprintf(
			"Pods still use superseded credentials from Secret %s: %s. Restart them, mount the Secret as a volume, or set spec.rollout.",
			c.SecretName(), s.listed(finding.Left)))
	}
	set(v1alpha1.ConditionPodsStale, stale, message)
	if blocked := restarts.reason(); blocked != "" || restarts.unread == (consumers.Workload{}) { // what was not read is as it was
		set(v1alpha1.ConditionRolloutFailing, blocked, restarts.blocked[blocked])
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
