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
	w := newWorld(t)
	w.TracksConsumers = true
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Rollout.Mode = v1alpha1.RolloutAuto })
	w.pass(c)
	if got := c.Status.Consumers; got == nil || *got != (v1alpha1.Consumers{}) {
		t.Errorf("consumers = %+v at the first issuance", got)
	}
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	c.Status.Consumers = &v1alpha1.Consumers{Pods: 3, Stale: 2}
	meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPodsStale, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPodsOutliveCredentials})
	w.must(api.Status().Update(w.ctx, c))
	w.pass(c)
	if got := c.Status.Consumers; got == nil || got.Stale != 2 || !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionPodsStale) {
		t.Errorf("the rollout controller's part is lost: %+v", c.Status)
	}
	w.told()

	w.restart()
	for range 2 {
		w.pass(c)
	}
	if c.Status.Consumers != nil {
		t.Errorf("consumers = %+v though nobody counts them", c.Status.Consumers)
	}
	w.wantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutsDisabled, "--rollouts")
	disabled := slices.DeleteFunc(w.told(), func(e string) bool { return !strings.Contains(e, v1alpha1.ReasonRolloutsDisabled) })
	if len(disabled) != 1 {
		t.Errorf("events %v", disabled)
	}
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Rollout = v1alpha1.RolloutSpec{} })
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
}
