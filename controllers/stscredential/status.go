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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// quietWait is how long a call may wait for its turn without the status telling so, from now or, where the status tells
// nothing yet, from the first look: most waits are over before anybody could read it, and each telling is a write.
const quietWait = 30 * time.Second

// report is the only place that writes status: once, if anything changed, and an event for each change of condition. It
// returns when to look again. An update costs the API server less than a patch, and is refused where the object has changed
// since it was read: what a process that was stopped in between has to tell is no longer so.
func (r *Reconciler) report(ctx context.Context, p *pass) (ctrl.Result, error) {
	next := r.nextLook(p)
	if p.quiet(r.Clock.Now()) {
		return next, nil
	}
	before := p.credential.Status.DeepCopy()
	p.describe(&p.credential.Status)
	r.judge(p, &p.credential.Status.Conditions)
	r.describeConsumers(p, before)
	if equality.Semantic.DeepEqual(*before, p.credential.Status) {
		return next, nil
	}
	switch err := r.Status().Update(ctx, p.credential); {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: missedRetry}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	p.memo.statusVersion, p.memo.statusWritten = p.credential.ResourceVersion, r.Clock.Now()
	r.announce(before, p.credential)
	return next, nil
}

// quiet: nothing is wrong, the wait is short, and what the status says holds until then.
func (p *pass) quiet(now time.Time) bool {
	if p.trouble != nil || p.wait == 0 || p.wait >= quietWait {
		return false
	}
	told := meta.FindStatusCondition(p.credential.Status.Conditions, v1alpha1.ConditionReady)
	if told == nil {
		return now.Sub(p.memo.since) < quietWait
	}
	return p.decision.Usable || told.Status != metav1.ConditionTrue
}

// nextLook is when something is due by itself: a retry, a call, an adjustment, a renewal, an expiry.
func (r *Reconciler) nextLook(p *pass) ctrl.Result {
	now := r.STS.Now()
	due := append([]time.Duration{p.wait, p.adjust}, p.looks...)
	if p.trouble != nil {
		due = append(due, p.trouble.retry)
	}
	if p.record != nil {
		due = append(due, p.record.ExpiresAt.Sub(now))
	}
	if !p.decision.RenewAt.IsZero() && !p.credential.Spec.Suspend {
		renewal := p.decision.RenewAt.Sub(now)
		if p.trouble == nil && p.wait == 0 {
			renewal = max(renewal, time.Millisecond) // it has come due since it was decided
		}
		due = append(due, renewal)
	}
	due = slices.DeleteFunc(due, func(d time.Duration) bool { return d <= 0 })
	if len(due) == 0 {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: slices.Min(due)}
}

// describe says what is wanted and what the Secret holds.
func (p *pass) describe(status *v1alpha1.StsCredentialStatus) {
	c := p.credential
	*status = v1alpha1.StsCredentialStatus{
		ObservedGeneration: c.Generation,
		Conditions:         status.Conditions,
		Consumers:          status.Consumers,
		RoleName:           c.RoleName(),
		SessionName:        p.request.SessionName,
		SecretName:         c.SecretName(),
		GrantName:          p.verdict.GrantName,
	}
	if p.record == nil || !p.intact || p.foreign() {
		return
	}
	status.IssuedAt = &metav1.Time{Time: p.record.IssuedAt}
	status.ExpiresAt = &metav1.Time{Time: p.record.ExpiresAt}
	status.AccessKeyID = credentials.ShownAccessKeyID(p.record.AccessKeyID) // another client may have written the record
	status.RequestID = p.record.RequestID
	status.AssumedRole = &v1alpha1.AssumedRole{ARN: p.record.AssumedRoleARN, ID: p.record.AssumedRoleID}
	if !p.decision.RenewAt.IsZero() && !c.Spec.Suspend {
		status.RenewAt = &metav1.Time{Time: p.decision.RenewAt.Truncate(time.Second)}
	}
}

// judge turns the outcome into conditions.
func (r *Reconciler) judge(p *pass, conditions *[]metav1.Condition) {
	ready, healing := p.ready(r.STS.Now())
	ready.Type = v1alpha1.ConditionReady
	ready.ObservedGeneration, ready.LastTransitionTime = p.credential.Generation, metav1.Time{Time: r.Clock.Now()}
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
	abnormal(v1alpha1.ConditionReconciling, !works && healing, ready.Reason, ready.Message)
	abnormal(v1alpha1.ConditionStalled, !works && !healing, ready.Reason, ready.Message)
	failing := trouble{}
	if p.trouble != nil {
		failing = *p.trouble
	}
	abnormal(v1alpha1.ConditionRenewalFailing, works && p.trouble != nil, failing.reason, failing.message)
}

// ready is the condition Ready: True while the Secret holds what works for this spec, whatever else goes wrong. healing:
// if it is not True, it may become so without a person.
func (p *pass) ready(now time.Time) (ready metav1.Condition, healing bool) {
	switch {
	case p.decision.Usable:
		return metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued, Message: fmt.Sprintf(
			"Secret %s holds credentials of %s until %s", p.seen.Name, cmp.Or(p.record.AssumedRoleARN, p.credential.Spec.RoleARN), p.record.ExpiresAt.Format(time.RFC3339)) + p.alsoHolding()}, true
	case p.trouble != nil:
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: p.trouble.reason, Message: p.trouble.message}, p.trouble.passing
	case p.record != nil && p.intact && !now.Before(p.record.ExpiresAt):
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonExpired, Message: fmt.Sprintf(
			"what Secret %s holds has expired: %s", p.seen.Name, cmp.Or(p.holding, "new credentials are about to be issued"))}, true
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonIssuing, Message: cmp.Or(p.holding, "credentials are about to be issued")}, true
}

// alsoHolding follows what is said of credentials that work.
func (p *pass) alsoHolding() string {
	if p.holding == "" || p.trouble != nil { // which is reported beside Ready
		return ""
	}
	return "; " + p.holding
}

// announce makes an event of each change of a condition; routine renewals change none.
func (r *Reconciler) announce(before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	r.announceRestarts(before, after)
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionRenewalFailing} {
		is := change(before.Conditions, after.Status.Conditions, kind)
		if is == nil || is.Status == metav1.ConditionUnknown {
			continue
		}
		severity := corev1.EventTypeWarning
		if is.Reason == v1alpha1.ReasonIssued {
			severity = corev1.EventTypeNormal
		}
		r.Events.Eventf(after, nil, severity, is.Reason, kind, "%s", is.Message)
	}
}

// change returns what there is to report of a condition in an event; nil if nothing. Where RenewalFailing goes, it is that
// Ready holds. A first issuance that succeeds is no event: the conditions say it.
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
