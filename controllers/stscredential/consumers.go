// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

// frequent is the spec.duration below which spec.rollout restarts workloads so often that an event warns of it.
const frequent = 4 * time.Hour

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

// recordRestartEvents records an event for restarts that are switched off, and for a new spec that asks for many.
func recordRestartEvents(recorder events.EventRecorder, before *v1alpha1.StsCredentialStatus, after *v1alpha1.StsCredential) {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionRolloutFailing), meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionRolloutFailing)
	if is != nil && (was == nil || was.Reason != is.Reason) {
		recorder.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, is.Type, "%s", is.Message)
	}
	if after.Restarts() && after.Duration() < frequent && before.ObservedGeneration != after.Generation {
		recorder.Eventf(after, nil, corev1.EventTypeWarning, v1alpha1.ReasonFrequentRestarts, "Restart",
			"spec.rollout restarts workloads after each renewal, with a duration of %s many times a day: raise spec.duration, to 12h if the role allows it", after.Duration())
	}
}
