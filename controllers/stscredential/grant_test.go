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
	env := newEnvironment(t)
	env.Revoke()
	c := env.CreateCredential("orders")
	if next := env.reconcile(c); next.RequeueAfter != 0 {
		t.Errorf("requeue after %v, want none: a grant enqueues it", next.RequeueAfter)
	}
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "Ask a cluster administrator")
	env.WantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")

	env.Grant(nil)
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")

	env.Revoke()
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	env.WantCondition(c, v1alpha1.ConditionReconciling, "", "", "")
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	env.Step(50 * time.Minute)
	if next := env.reconcile(c); next.RequeueAfter != 10*time.Minute {
		t.Errorf("requeue after %v, want at expiry", next.RequeueAfter)
	}
	env.WantCalls(1)
	env.wantWorking("orders")
	env.Step(10 * time.Minute)
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")

	env.Grant(nil)
	env.reconcile(c)
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

func TestGrantPolicy(t *testing.T) {
	env := newEnvironment(t)
	impose := func(p *runtime.RawExtension) { env.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = p }) }
	lastPolicy := func() string { calls := env.Emulator.Calls(); return calls[len(calls)-1].Policy }
	impose(policyOf("oss:Get*"))
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCalls(1)
	if got := lastPolicy(); got != `{"Statement":[{"Action":"oss:Get*","Effect":"Allow","Resource":"*"}],"Version":"1"}` {
		t.Errorf("policy sent = %s", got)
	}
	impose(policyOf("oss:List*"))
	env.reconcile(c)
	env.WantCalls(2)
	env.restartOperator()
	env.reconcile(c)
	env.WantCalls(2)
	env.Revoke()
	env.reconcile(c)
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	impose(nil)
	env.reconcile(c)
	env.WantCalls(3)
	if got := lastPolicy(); got != "" {
		t.Errorf("policy sent = %s, want none", got)
	}
	impose(&runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)})
	env.reconcile(c)
	env.WantCalls(3)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "the policy of StsRoleGrant "+env.Namespace+" is invalid: ")
}

func TestNamespaceLabels(t *testing.T) {
	env := newEnvironment(t)
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Namespaces = v1alpha1.GrantNamespaces{Selector: &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}
	})
	label := func(value string) {
		n := &corev1.Namespace{}
		env.Must(api.Get(env.Context(), types.NamespacedName{Name: env.Namespace}, n))
		n.Labels["team"] = value
		env.Must(api.Update(env.Context(), n))
	}
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
	label("shop")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	label("other")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	env.WantCalls(1)
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
			env := newEnvironment(t)
			env.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.MaxDuration = &metav1.Duration{Duration: time.Hour} })
			c := env.CreateCredential("orders", tt.given)
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, tt.message)
		})
	}
}

func TestSpecPolicyIsChecked(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Permit","Action":"a","Resource":"*"}]}`)}
	})
	env.reconcile(c)
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "spec.policy: Statement[0]: Effect must be Allow or Deny")

	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Policy = policyOf("oss:Get*") })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)} })
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "")
}
