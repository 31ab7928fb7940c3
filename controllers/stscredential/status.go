// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// debouncePeriod is how long a call may wait before the status reports it: from now or, where there is no condition yet, from
// the first reconcile. Most waits end before a person could read the status, and each update is a write.
const debouncePeriod = 30 * time.Second

// frequent is the spec.duration below which spec.rollout restarts workloads so often that an event warns of it.
const frequent = 4 * time.Hour

// result is what a reconcile found and did. The conditions are derived from it alone.
type result struct {
	target
	existing existing // as it is afterwards
	decision renewal.Decision
	held     bool            // the renewal, if one was due, was blocked, waits or failed
	err      *reconcileError // nil if nothing failed, and nothing waits
	due      []time.Duration // the delays of retries and deletions
}

// statusWriter writes the status of an StsCredential.
type statusWriter struct {
	client.Client
	clock           clock.PassiveClock
	sts             STSClock
	events          events.EventRecorder
	tracksConsumers bool
	firstSeen       time.Time
}

// update writes the status, if it changed, and records an event for each change of a condition. No other function of this
// controller writes the status. It returns when to reconcile again. It uses an update instead of a patch: an update costs
// the API server less, and fails if the object has changed since it was read, so an outdated process cannot overwrite a
// newer status.
func (w statusWriter) update(ctx context.Context, o result) (ctrl.Result, error) {
	next := o.requeue(w.sts.Now())
	if o.debounced(w.firstSeen, w.clock.Now()) {
		return next, nil
	}
	c := o.credential
	before := c.Status.DeepCopy()
	o.describe(&c.Status)
	now := metav1.Time{Time: w.clock.Now()}
	describeConsumers(o.target, before, w.tracksConsumers, now)
	o.setConditions(&c.Status.Conditions, w.sts.Now(), now)
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

// debounced reports whether the update of the status can wait: nothing failed, the call to STS waits for a short time, and the
// status is correct until then.
func (o result) debounced(firstSeen, now time.Time) bool {
	if !o.held || !o.decision.Renew() || !o.waits() || o.err.retryAfter >= debouncePeriod {
		return false
	}
	ready := meta.FindStatusCondition(o.credential.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return now.Sub(firstSeen) < debouncePeriod
	}
	return o.decision.Usable || ready.Status != metav1.ConditionTrue
}

// waits reports whether a step waits, and none failed.
func (o result) waits() bool { return o.err != nil && o.err.waiting }

// fails reports whether a step failed.
func (o result) fails() bool { return o.err != nil && !o.err.waiting }

// requeue returns when to reconcile again: for a retry, a call, a correction, a renewal or an expiration.
func (o result) requeue(now time.Time) ctrl.Result {
	due := slices.Clone(o.due)
	if o.existing.record != nil {
		due = append(due, o.existing.record.ExpiresAt.Sub(now))
	}
	if !o.decision.RenewAt.IsZero() && !o.credential.Spec.Suspend {
		renewAfter := o.decision.RenewAt.Sub(now)
		if !o.held {
			renewAfter = max(renewAfter, time.Millisecond) // it may have come due since it was decided
		}
		due = append(due, renewAfter)
	}
	due = slices.DeleteFunc(due, func(d time.Duration) bool { return d <= 0 })
	if len(due) == 0 {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: slices.Min(due)}
}

// describe sets the fields about the request and the content of the Secret.
func (o result) describe(status *v1alpha1.StsCredentialStatus) {
	c, e := o.credential, o.existing
	*status = v1alpha1.StsCredentialStatus{
		ObservedGeneration: c.Generation,
		Conditions:         status.Conditions,
		Consumers:          status.Consumers,
		RoleName:           c.RoleName(),
		SessionName:        o.request.SessionName,
		SecretName:         c.SecretName(),
		GrantName:          o.grantName,
	}
	if e.record == nil || !e.intact || e.takenOver {
		return
	}
	status.IssuedAt = &metav1.Time{Time: e.record.IssuedAt}
	status.ExpiresAt = &metav1.Time{Time: e.record.ExpiresAt}
	status.AccessKeyID = credentials.ShownAccessKeyID(e.record.AccessKeyID) // another client may have written the record
	status.RequestID = e.record.RequestID
	status.AssumedRole = &v1alpha1.AssumedRole{ARN: e.record.AssumedRoleARN, ID: e.record.AssumedRoleID}
	if !o.decision.RenewAt.IsZero() && !c.Spec.Suspend {
		status.RenewAt = &metav1.Time{Time: o.decision.RenewAt.Truncate(time.Second)}
	}
}

// describeConsumers sets status.consumers, PodsStale and RolloutFailing. If the rollout controller runs, it owns them, and
// only the first issuance sets consumers to zero: this saves a write if no pod reads the Secret. If it does not run,
// consumers and PodsStale are removed, and RolloutFailing reports a spec.rollout that has no effect.
func describeConsumers(t target, before *v1alpha1.StsCredentialStatus, tracked bool, now metav1.Time) {
	status := &t.credential.Status
	if tracked {
		if status.Consumers == nil && before.IssuedAt == nil && status.IssuedAt != nil {
			status.Consumers = &v1alpha1.Consumers{}
		}
		return
	}
	status.Consumers = nil
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionPodsStale)
	if c := t.credential; !c.Restarts() || c.Spec.Suspend || t.terminating {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionRolloutFailing)
		return
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionRolloutFailing, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRolloutsDisabled,
		Message: consumers.RestartsDisabled, ObservedGeneration: t.credential.Generation, LastTransitionTime: now,
	})
}

// setConditions turns the result into conditions. stsNow is the time by STS's clock, now by the local one.
func (o result) setConditions(conditions *[]metav1.Condition, stsNow time.Time, now metav1.Time) {
	ready, recoverable := o.ready(stsNow)
	ready.Type = v1alpha1.ConditionReady
	ready.ObservedGeneration, ready.LastTransitionTime = o.credential.Generation, now
	meta.SetStatusCondition(conditions, ready)
	abnormal := func(kind string, holds bool, reason, message string) {
		if !holds {
			meta.RemoveStatusCondition(conditions, kind)
			return
		}
		also := ready
		also.Type, also.Status, also.Reason, also.Message = kind, metav1.ConditionTrue, reason, message
		meta.SetStatusCondition(conditions, also)
	}
	works := ready.Status == metav1.ConditionTrue
	abnormal(v1alpha1.ConditionReconciling, !works && recoverable, ready.Reason, ready.Message)
	abnormal(v1alpha1.ConditionStalled, !works && !recoverable, ready.Reason, ready.Message)
	if !o.fails() {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionRenewalFailing)
		return
	}
	abnormal(v1alpha1.ConditionRenewalFailing, works, o.err.reason, o.err.message)
}

// ready returns the condition Ready: True while the Secret holds what works for this spec, whatever else goes wrong.
// recoverable: if it is not True, it may become so without a person.
func (o result) ready(now time.Time) (ready metav1.Condition, recoverable bool) {
	record, wait := o.existing.record, ""
	if o.waits() {
		wait = o.err.message
	}
	switch {
	case o.decision.Usable:
		message := fmt.Sprintf("Secret %s holds credentials of %s until %s",
			o.existing.secret.Name, cmp.Or(record.AssumedRoleARN, o.credential.Spec.RoleARN), record.ExpiresAt.Format(time.RFC3339))
		if wait != "" { // an error is reported beside Ready
			message += "; " + wait
		}
		return metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued, Message: message}, true
	case o.fails():
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: o.err.reason, Message: o.err.message}, o.err.recoverable
	case record != nil && o.existing.intact && !now.Before(record.ExpiresAt):
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonExpired, Message: fmt.Sprintf(
			"the credentials in Secret %s have expired; %s", o.existing.secret.Name, cmp.Or(wait, "the operator issues new credentials"))}, true
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonIssuing, Message: cmp.Or(wait, "the operator issues credentials")}, true
}

// recordEvents records an event for each change of a condition; routine renewals change none.
func recordEvents(recorder events.EventRecorder, before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	recordRestartEvents(recorder, before, after)
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionRenewalFailing} {
		is := change(before.Conditions, after.Status.Conditions, kind)
		if is == nil || is.Status == metav1.ConditionUnknown {
			continue
		}
		severity := corev1.EventTypeWarning
		if is.Reason == v1alpha1.ReasonIssued {
			severity = corev1.EventTypeNormal
		}
		recorder.Eventf(after, nil, severity, is.Reason, kind, "%s", is.Message)
	}
}

// change returns the condition to record an event for; nil if there is none. When RenewalFailing is removed and Ready is
// True, it returns Ready, as the recovery. A first issuance that succeeds records no event, because the conditions report
// it.
func change(before, after []metav1.Condition, kind string) *metav1.Condition {
	was, is := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(after, kind)
	switch {
	case is == nil && was != nil && meta.IsStatusConditionTrue(after, v1alpha1.ConditionReady):
		return meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	case is == nil, was != nil && was.Status == is.Status && was.Reason == is.Reason:
		return nil
	case is.Reason == v1alpha1.ReasonIssued && (was == nil || was.Status == metav1.ConditionUnknown):
		return nil
	}
	return is
}

// recordRestartEvents records an event for restarts that are disabled, and for a new spec that causes many.
func recordRestartEvents(recorder events.EventRecorder, before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionRolloutFailing), meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionRolloutFailing)
	if is != nil && (was == nil || was.Reason != is.Reason) {
		recorder.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, is.Type, "%s", is.Message)
	}
	if after.Restarts() && after.Duration() < frequent && before.ObservedGeneration != after.Generation {
		recorder.Eventf(after, nil, corev1.EventTypeWarning, v1alpha1.ReasonFrequentRestarts, "Restart",
			"spec.rollout restarts workloads after each renewal: many times a day, with a duration of %s. Raise spec.duration, to 12h if the role allows it", after.Duration())
	}
}
