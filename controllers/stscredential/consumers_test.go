// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Without the rollout controller, nothing is left of what it reported, and restarts that a spec asks for are reported as
// switched off, once.
func TestWithoutTheRolloutController(t *testing.T) {
	env := newEnvironment(t)
	env.TracksConsumers = true
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Rollout.Mode = v1alpha1.RolloutAuto })
	env.reconcile(c)
	if got := c.Status.Consumers; got == nil || *got != (v1alpha1.Consumers{}) {
		t.Errorf("consumers = %+v at the first issuance", got)
	}
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	c.Status.Consumers = &v1alpha1.Consumers{Pods: 3, Stale: 2}
	meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPodsStale, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPodsOutliveCredentials})
	env.Must(api.Status().Update(env.Context(), c))
	env.reconcile(c)
	if got := c.Status.Consumers; got == nil || got.Stale != 2 || !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionPodsStale) {
		t.Errorf("the rollout controller's part is lost: %+v", c.Status)
	}
	env.RecordedEvents()

	env.restartOperator()
	for range 2 {
		env.reconcile(c)
	}
	if c.Status.Consumers != nil {
		t.Errorf("consumers = %+v though nobody counts them", c.Status.Consumers)
	}
	env.WantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutsDisabled, "--rollouts")
	disabled := slices.DeleteFunc(env.RecordedEvents(), func(e string) bool { return !strings.Contains(e, v1alpha1.ReasonRolloutsDisabled) })
	if len(disabled) != 1 {
		t.Errorf("events %v", disabled)
	}
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Rollout = v1alpha1.RolloutSpec{} })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
}
