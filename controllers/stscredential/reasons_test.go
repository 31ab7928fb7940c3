// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// What YAML makes of true without quotes is refused before any call, in the spec and in a grant.
func TestUnquotedValuesInPoliciesAreRefused(t *testing.T) {
	unquoted := &runtime.RawExtension{Raw: []byte(
		`{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*","Condition":{"Bool":{"acs:SecureTransport":true}}}]}`)}
	const want = `Statement[0].Condition.Bool.acs:SecureTransport must be a string: write "true"`
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Policy = unquoted })
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, want)
	w.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = unquoted })
	granted := w.credential("granted")
	w.pass(granted)
	w.wantCondition(granted, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, want)
	w.wantCalls(0)
}

// Nothing is Ready with nothing in its Secret.
func TestTemplatesThatHelmRenderedAwayAreRefused(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", withFormats(), func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"AK": "", "SK": ""}
	})
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "Helm renders {{ }} away")
	w.wantCalls(0)
	w.edit(c, withTemplate("all", "{{ .AccessKeyID }} {{ .AccessKeySecret }} {{ .SecurityToken }}"))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantKeys("orders", "all")
}

func TestConditionsNameWhatWasSentAndWhereItCameFrom(t *testing.T) {
	w := newWorld(t)
	w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InvalidParameter.RoleSessionName"})
	byDefault := w.credential("orders")
	w.pass(byDefault)
	w.wantCondition(byDefault, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec,
		`"`+w.namespace+`.orders" (the default: cluster name, namespace and name) is malformed`)
	chosen := w.credential("chosen", func(c *v1alpha1.StsCredential) { c.Spec.SessionName = w.namespace + ".alice" })
	w.pass(chosen)
	w.wantCondition(chosen, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, `"`+w.namespace+`.alice" is malformed`)
	w.emulator.Replace(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InvalidParameter.PolicyGrammar"})
	w.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = policyOf("oss:Get*") })
	imposed := w.credential("imposed")
	w.pass(imposed)
	w.wantCondition(imposed, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "STS rejects the grammar of the policy of StsRoleGrant "+w.namespace)
}

func TestAGrantThatDiffersInCaseAloneIsNamed(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = strings.Replace(role, "role/o", "role/O", 1) })
	if c.Spec.RoleARN == role {
		t.Fatal("the role is not another")
	}
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted,
		"StsRoleGrant "+w.namespace+" names a role that differs only in case")
}

// Each state in which the operator holds back says so, and says so no longer when it does not.
func TestWhatTheOperatorHoldsBackIsInACondition(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	edit := func() {
		w.editSecret("orders", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") })
	}
	edit()
	w.pass(c) // the first correction comes at once
	w.wantCalls(2)
	edit()
	next := w.pass(c).RequeueAfter
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "another client changed Secret orders (its data or the operator's record) again: the operator corrects it at ")
	version := c.ResourceVersion
	w.step(time.Second)
	w.pass(c)
	if c.ResourceVersion != version {
		t.Error("the status is written with each reconcile")
	}
	w.step(next)
	w.pass(c)
	w.wantWorking("orders")

	relabeled := func() {
		w.editSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		w.pass(c)
	}
	relabeled()
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "holds credentials of")
	relabeled()
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "; another client changed Secret orders (its labels, annotations or owner) again")
	w.step(time.Minute)
	w.pass(c)
	if ready := c.Status.Conditions[0].Message; strings.Contains(ready, "another client") {
		t.Errorf("it still says: %s", ready)
	}
}

func TestWaitingForTheBudgetIsInACondition(t *testing.T) {
	w := newWorld(t)
	w.Budget = stsBudget(w, 0.1, 1)
	first, c := w.credential("first"), w.credential("second")
	w.pass(first)
	w.Budget.Throttled(account, 2*time.Minute)
	w.pass(c)
	w.wantCalls(1)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "waits for its turn in the budget")
}

// Whatever STS, or what stands in its place, gives as an AccessKey ID, it is shown in a documented form only.
func TestAnAccessKeyIDOfUnknownFormIsNotShown(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	if id := c.Status.AccessKeyID; !strings.HasPrefix(id, "STS.") || !strings.Contains(w.log.String(), id) {
		t.Errorf("shown as %q", id)
	}
}
