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
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Policy = unquoted })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, want)
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = unquoted })
	granted := env.CreateCredential("granted")
	env.reconcile(granted)
	env.WantCondition(granted, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, want)
	env.WantCalls(0)
}

// Nothing is Ready with nothing in its Secret.
func TestTemplatesThatHelmRenderedAwayAreRefused(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", withFormats(), func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"AK": "", "SK": ""}
	})
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "Helm renders {{ }} away")
	env.WantCalls(0)
	env.Edit(c, withTemplate("all", "{{ .AccessKeyID }} {{ .AccessKeySecret }} {{ .SecurityToken }}"))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.wantKeys("orders", "all")
}

func TestConditionsNameWhatWasSentAndWhereItCameFrom(t *testing.T) {
	env := newEnvironment(t)
	env.Emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InvalidParameter.RoleSessionName"})
	byDefault := env.CreateCredential("orders")
	env.reconcile(byDefault)
	env.WantCondition(byDefault, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec,
		`"`+env.Namespace+`.orders" (the default: cluster name, namespace and name) is malformed`)
	chosen := env.CreateCredential("chosen", func(c *v1alpha1.StsCredential) { c.Spec.SessionName = env.Namespace + ".alice" })
	env.reconcile(chosen)
	env.WantCondition(chosen, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, `"`+env.Namespace+`.alice" is malformed`)
	env.Emulator.Replace(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InvalidParameter.PolicyGrammar"})
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.Policy = policyOf("oss:Get*") })
	imposed := env.CreateCredential("imposed")
	env.reconcile(imposed)
	env.WantCondition(imposed, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "STS rejects the grammar of the policy of StsRoleGrant "+env.Namespace)
}

func TestAGrantThatDiffersInCaseAloneIsNamed(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = strings.Replace(role, "role/o", "role/O", 1) })
	if c.Spec.RoleARN == role {
		t.Fatal("the role is not another")
	}
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted,
		"StsRoleGrant "+env.Namespace+" names a role that differs only in case")
}

// Each state in which the operator holds back says so, and says so no longer when it does not.
func TestWhatTheOperatorHoldsBackIsInACondition(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	edit := func() {
		env.EditSecret("orders", func(s *corev1.Secret) { s.Data[secret.KeySecurityToken] = []byte("x") })
	}
	edit()
	env.reconcile(c) // the first correction comes at once
	env.WantCalls(2)
	edit()
	next := env.reconcile(c).RequeueAfter
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "the correction of Secret orders waits until ")
	version := c.ResourceVersion
	env.Step(time.Second)
	env.reconcile(c)
	if c.ResourceVersion != version {
		t.Error("the status is written with each reconcile")
	}
	env.Step(next)
	env.reconcile(c)
	env.wantWorking("orders")

	relabeled := func() {
		env.EditSecret("orders", func(s *corev1.Secret) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		env.reconcile(c)
	}
	relabeled()
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "holds credentials of")
	relabeled()
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, ": another client changes its labels, annotations or owner repeatedly. Stop the other client")
	env.Step(time.Minute)
	env.reconcile(c)
	if ready := c.Status.Conditions[0].Message; strings.Contains(ready, "another client") {
		t.Errorf("it still says: %s", ready)
	}
}

func TestWaitingForTheBudgetIsInACondition(t *testing.T) {
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 0.1, 1)
	first, c := env.CreateCredential("first"), env.CreateCredential("second")
	env.reconcile(first)
	env.Budget.Throttled(account, 2*time.Minute)
	env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "the call to STS waits: the call budget of the account (--sts-qps) is used up")
}

// Whatever STS, or what stands in its place, gives as an AccessKey ID, it is shown in a documented form only.
func TestAnAccessKeyIDOfUnknownFormIsNotShown(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	if id := c.Status.AccessKeyID; !strings.HasPrefix(id, "STS.") || !strings.Contains(env.log.String(), id) {
		t.Errorf("shown as %q", id)
	}
}
