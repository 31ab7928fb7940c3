// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func policyOf(action string) *runtime.RawExtension {
	return &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`)}
}

func TestGrantComesAndGoes(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	c := w.credential("orders")
	if next := w.pass(c); next.RequeueAfter != 0 {
		t.Errorf("next look in %v, want none: a grant wakes it", next.RequeueAfter)
	}
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "Ask a cluster administrator")
	w.wantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")

	w.grant(nil)
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(c, v1alpha1.ConditionStalled, "", "", "")

	w.revoke()
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	w.wantCondition(c, v1alpha1.ConditionReconciling, "", "", "")
	w.wantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	w.step(50 * time.Minute)
	if next := w.pass(c); next.RequeueAfter != 10*time.Minute {
		t.Errorf("next look in %v, want at expiry", next.RequeueAfter)
	}
	w.wantCalls(1)
	w.wantWorking("orders")
	w.step(10 * time.Minute)
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")

	w.grant(nil)
	w.pass(c)
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

func TestGrantPolicy(t *testing.T) {
	w := newWorld(t)
	impose := func(p *runtime.RawExtension) { w.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = p }) }
	lastPolicy := func() string { calls := w.emulator.Calls(); return calls[len(calls)-1].Policy }
	impose(policyOf("oss:Get*"))
	c := w.credential("orders")
	w.pass(c)
	w.wantCalls(1)
	if got := lastPolicy(); got != `{"Statement":[{"Action":"oss:Get*","Effect":"Allow","Resource":"*"}],"Version":"1"}` {
		t.Errorf("policy sent = %s", got)
	}
	impose(policyOf("oss:List*"))
	w.pass(c)
	w.wantCalls(2)
	w.restart()
	w.pass(c)
	w.wantCalls(2)
	w.revoke()
	w.pass(c)
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	impose(nil)
	w.pass(c)
	w.wantCalls(3)
	if got := lastPolicy(); got != "" {
		t.Errorf("policy sent = %s, want none", got)
	}
	impose(&runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)})
	w.pass(c)
	w.wantCalls(3)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "the policy of StsRoleGrant "+w.namespace+" cannot be used")
}

func TestNamespaceLabels(t *testing.T) {
	w := newWorld(t)
	w.grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Namespaces = v1alpha1.GrantNamespaces{Selector: &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}
	})
	label := func(value string) {
		n := &corev1.Namespace{}
		w.must(api.Get(w.ctx, types.NamespacedName{Name: w.namespace}, n))
		n.Labels["team"] = value
		w.must(api.Update(w.ctx, n))
	}
	c := w.credential("orders")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	label("shop")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	label("other")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	w.wantCalls(1)
}

func TestLimitsOfGrants(t *testing.T) {
	for _, tt := range []struct {
		name    string
		given   func(*v1alpha1.StsCredential)
		message string
	}{
		{"another session name", func(c *v1alpha1.StsCredential) { c.Spec.SessionName = "finance.alice" }, "requires session names that start with"},
		{"a source identity", func(c *v1alpha1.StsCredential) { c.Spec.SourceIdentity = "alice" }, "does not allow a source identity"},
		{"too long", func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 2 * time.Hour} }, "allows at most 1h0m0s"},
		{"another role", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = role + "2" }, "no StsRoleGrant allows namespace"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.MaxDuration = &metav1.Duration{Duration: time.Hour} })
			c := w.credential("orders", tt.given)
			w.pass(c)
			w.wantCalls(0)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, tt.message)
		})
	}
}

func TestSpecPolicyIsChecked(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Permit","Action":"a","Resource":"*"}]}`)}
	})
	w.pass(c)
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "spec.policy: Statement[0]: Effect must be Allow or Deny")

	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Policy = policyOf("oss:Get*") })
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)} })
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "")
}
