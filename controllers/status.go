// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// selfHealing are the reasons that pass without a person: for them a credential that is not Ready is Reconciling, for
// all others it is Stalled.
var selfHealing = []string{v1alpha1.ReasonThrottled, v1alpha1.ReasonSTSUnavailable, v1alpha1.ReasonExpired, v1alpha1.ReasonIssuing}

// quietWait is how long a first issue may wait for its turn without the status telling so: most waits are over before
// anybody could read it, and each telling is a write.
const quietWait = 5 * time.Second

// report is the only place that writes status: one patch, if anything changed, and an event for each change of
// condition. It returns when to look again.
func (r *Reconciler) report(ctx context.Context, p *pass) (ctrl.Result, error) {
	next := r.nextLook(p)
	if p.quiet() {
		return next, nil
	}
	before := p.credential.DeepCopy()
	p.describe(&p.credential.Status)
	p.judge(&p.credential.Status.Conditions, r.Clock.Now())
	if equality.Semantic.DeepEqual(before.Status, p.credential.Status) {
		return next, nil
	}
	if err := r.Status().Patch(ctx, p.credential, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	p.memo.statusVersion, p.memo.statusWritten = p.credential.ResourceVersion, r.Clock.Now()
	r.announce(before, p.credential)
	return next, nil
}

// quiet: nothing is issued, nothing is wrong, and the wait is short.
func (p *pass) quiet() bool {
	return p.record == nil && p.trouble == nil && p.wait > 0 && p.wait < quietWait
}

// nextLook is when something is due by itself: a retry or a renewal, and an expiry in any case.
func (r *Reconciler) nextLook(p *pass) ctrl.Result {
	now := r.STS.Now()
	var due []time.Duration
	switch {
	case p.trouble != nil:
		due = append(due, p.trouble.retry)
	case p.wait > 0:
		due = append(due, p.wait)
	case !p.decision.RenewAt.IsZero() && !p.credential.Spec.Suspend:
		due = append(due, max(p.decision.RenewAt.Sub(now), time.Millisecond))
	}
	if p.record != nil {
		due = append(due, p.record.ExpiresAt.Sub(now))
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
		RoleName:           c.RoleName(),
		SessionName:        p.request.SessionName,
		SecretName:         c.SecretName(),
		GrantName:          p.verdict.GrantName,
	}
	if p.record == nil || !p.intact {
		return
	}
	status.IssuedAt = &metav1.Time{Time: p.record.IssuedAt}
	status.ExpiresAt = &metav1.Time{Time: p.record.ExpiresAt}
	status.AccessKeyID = p.record.AccessKeyID
	status.RequestID = p.record.RequestID
	status.AssumedRole = &v1alpha1.AssumedRole{ARN: p.record.AssumedRoleARN, ID: p.record.AssumedRoleID}
	if !p.decision.RenewAt.IsZero() && !c.Spec.Suspend {
		status.RenewAt = &metav1.Time{Time: p.decision.RenewAt.Truncate(time.Second)}
	}
}

// judge turns the outcome into conditions.
func (p *pass) judge(conditions *[]metav1.Condition, now time.Time) {
	status, reason, message := p.ready()
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: p.credential.Generation, LastTransitionTime: metav1.Time{Time: now},
		})
	}
	abnormal := func(kind string, holds bool, reason, message string) {
		if holds {
			set(kind, metav1.ConditionTrue, reason, message)
			return
		}
		meta.RemoveStatusCondition(conditions, kind)
	}
	healing := slices.Contains(selfHealing, reason)
	set(v1alpha1.ConditionReady, status, reason, message)
	abnormal(v1alpha1.ConditionReconciling, status != metav1.ConditionTrue && healing, reason, message)
	abnormal(v1alpha1.ConditionStalled, status == metav1.ConditionFalse && !healing, reason, message)
	failing := trouble{}
	if p.trouble != nil {
		failing = *p.trouble
	}
	abnormal(v1alpha1.ConditionRenewalFailing, status == metav1.ConditionTrue && p.trouble != nil, failing.reason, failing.message)
}

// ready is the condition Ready: True while the Secret holds what works for this spec, whatever else goes wrong.
func (p *pass) ready() (status metav1.ConditionStatus, reason, message string) {
	switch {
	case p.decision.Usable:
		return metav1.ConditionTrue, v1alpha1.ReasonIssued, fmt.Sprintf("Secret %s holds credentials of %s until %s",
			p.seen.Name, p.record.AssumedRoleARN, p.record.ExpiresAt.Format(time.RFC3339))
	case p.trouble != nil:
		return metav1.ConditionFalse, p.trouble.reason, p.trouble.message
	case p.record != nil && p.intact && p.credential.Status.ExpiresAt != nil:
		return metav1.ConditionFalse, v1alpha1.ReasonExpired, fmt.Sprintf("what Secret %s holds does not work any more: new credentials are waiting for their turn", p.seen.Name)
	}
	return metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "credentials are about to be issued"
}

// announce makes an event of each change of Ready and RenewalFailing; routine renewals change neither.
func (r *Reconciler) announce(before, after *v1alpha1.StsCredential) {
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionRenewalFailing} {
		is := change(before.Status.Conditions, after.Status.Conditions, kind)
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

// change is what there is to tell of a condition; nil if nothing. Where RenewalFailing goes, that Ready holds is told.
func change(before, after []metav1.Condition, kind string) *metav1.Condition {
	was, is := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(after, kind)
	switch {
	case is == nil && was != nil && meta.IsStatusConditionTrue(after, v1alpha1.ConditionReady):
		return meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	case is == nil, was != nil && was.Status == is.Status && was.Reason == is.Reason:
		return nil
	}
	return is
}
