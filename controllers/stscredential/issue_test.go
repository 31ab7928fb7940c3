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

func TestFirstIssue(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Secret = v1alpha1.SecretSpec{Name: "orders-sts", Labels: map[string]v1alpha1.LabelValue{"team": "shop"}}
		c.Spec.ExternalID = "ext"
	})
	result := env.reconcile(c)

	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "Secret orders-sts holds credentials of "+role+"/"+env.Namespace+".orders until")
	for _, absent := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionRenewalFailing} {
		env.WantCondition(c, absent, "", "", "")
	}
	id := env.wantWorking("orders-sts")
	s, status := env.Secret("orders-sts"), c.Status
	if s.Type != corev1.SecretTypeOpaque || len(s.Data) != 3 || s.Labels["team"] != "shop" || !metav1.IsControlledBy(s, c) {
		t.Errorf("Secret = type %s, keys %d, labels %v, owners %v", s.Type, len(s.Data), s.Labels, s.OwnerReferences)
	}
	want := v1alpha1.StsCredentialStatus{
		ObservedGeneration: 1, Conditions: status.Conditions, RoleName: "orders-reader", SessionName: env.Namespace + ".orders",
		SecretName: "orders-sts", AccessKeyID: id, GrantName: env.Namespace, RequestID: env.Emulator.Calls()[1].RequestID,
	}
	if status.ObservedGeneration != want.ObservedGeneration || status.RoleName != want.RoleName || status.SessionName != want.SessionName ||
		status.SecretName != want.SecretName || status.AccessKeyID != want.AccessKeyID || status.GrantName != want.GrantName || status.RequestID != want.RequestID {
		t.Errorf("status = %+v, want %+v", status, want)
	}
	if !status.ExpiresAt.Equal(&metav1.Time{Time: env.STSClock.Now().Add(time.Hour)}) || !status.IssuedAt.Equal(&metav1.Time{Time: env.STSClock.Now()}) {
		t.Errorf("issuedAt, expiresAt = %v, %v", status.IssuedAt, status.ExpiresAt)
	}
	if due := status.RenewAt.Sub(env.STSClock.Now()); due < 33*time.Minute || due > 40*time.Minute || (result.RequeueAfter-due).Abs() > time.Second {
		t.Errorf("renewAt in %v, requeue after %v", due, result.RequeueAfter)
	}
	if got := env.RecordedEvents(); len(got) != 0 {
		t.Errorf("events = %q, want none: the conditions report a first issuance", got)
	}
	for _, key := range []string{"namespace", "name", "role", "session", "accessKeyID", "requestID", "expiresAt", "caller", "grant"} {
		if !strings.Contains(env.log.String(), `"`+key+`"=`) {
			t.Errorf("the audit line lacks %s: %s", key, env.log)
		}
	}
	if !strings.Contains(env.log.String(), operator) {
		t.Errorf("the audit line does not name the caller %s: %s", operator, env.log)
	}

	version := c.ResourceVersion
	env.reconcile(c)
	env.WantCalls(1)
	if c.ResourceVersion != version || len(env.RecordedEvents()) != 0 {
		t.Error("a reconcile with nothing to do wrote something or recorded an event")
	}
}

func TestRequestReachesSTSWhole(t *testing.T) {
	env := newEnvironment(t)
	env.ClusterName = "prod"
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Allow = []v1alpha1.GrantAllowance{v1alpha1.AllowSessionName, v1alpha1.AllowSourceIdentity}
	})
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.SessionName, c.Spec.ExternalID, c.Spec.SourceIdentity = "free", "ext", "alice"
		c.Spec.Duration = &metav1.Duration{Duration: 2 * time.Hour}
		c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:Get*", "Resource": "*"}]}`)}
	})
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	calls := env.Emulator.Calls()
	got := calls[len(calls)-1]
	if got.RoleARN != role || got.SessionName != "free" || got.DurationSeconds != 7200 || got.ExternalID != "ext" || got.SourceIdentity != "alice" ||
		got.Policy != `{"Statement":[{"Action":"oss:Get*","Effect":"Allow","Resource":"*"}],"Version":"1"}` {
		t.Errorf("STS was asked %+v", got)
	}
}

func TestRenewal(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	result := env.reconcile(c)
	first := env.Secret("orders").Data
	env.RecordedEvents()

	env.Step(result.RequeueAfter - time.Second)
	env.reconcile(c)
	env.WantCalls(1)

	env.Step(time.Second)
	env.reconcile(c)
	env.WantCalls(2)
	if id := env.wantWorking("orders"); id == string(first[secret.KeyAccessKeyID]) || id != c.Status.AccessKeyID {
		t.Errorf("AccessKeyId after the renewal = %s, status %s", id, c.Status.AccessKeyID)
	}
	if age := env.STSClock.Now().Sub(c.Status.IssuedAt.Time); age < 0 || age >= time.Second {
		t.Errorf("issuedAt = %v, now %v", c.Status.IssuedAt, env.STSClock.Now())
	}
	if got := env.RecordedEvents(); len(got) != 0 {
		t.Errorf("a routine renewal made events: %q", got)
	}
}

// runFor goes on for a while as the controller would, and requires that the Secret never holds what has expired.
func (env *environment) runFor(c *v1alpha1.StsCredential, span time.Duration) {
	env.Helper()
	for end := env.STSClock.Now().Add(span); env.STSClock.Now().Before(end); {
		next := env.reconcile(c).RequeueAfter
		if next <= 0 {
			env.Fatalf("no requeue; conditions %+v", c.Status.Conditions)
		}
		env.Step(next)
		if now := env.STSClock.Now(); !now.Before(c.Status.ExpiresAt.Time) {
			env.Fatalf("expired at %v, requeue at %v", c.Status.ExpiresAt, now)
		}
		env.wantWorking(c.SecretName())
	}
}

func TestShortLifetime(t *testing.T) {
	env := newEnvironment(t)
	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultShortLifetime, Duration: time.Minute})
	c := env.CreateCredential("orders")
	env.runFor(c, 10*time.Minute)
	if calls := env.Calls(); calls < 10 || calls > 40 {
		t.Errorf("%d calls in ten minutes of one-minute credentials", calls)
	}
}

func TestClockOff(t *testing.T) {
	for _, tt := range []struct {
		name     string
		off      time.Duration
		lifetime time.Duration
	}{
		{"ten minutes behind", -10 * time.Minute, 0},
		{"ten minutes ahead", 10 * time.Minute, 0},
		{"ten minutes behind, one-minute lifetimes", -10 * time.Minute, time.Minute},
		{"ten minutes ahead, one-minute lifetimes", 10 * time.Minute, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			env.OperatorClock.Step(tt.off)
			lifetime := time.Hour
			if tt.lifetime > 0 {
				lifetime = tt.lifetime
				env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultShortLifetime, Duration: tt.lifetime})
			}
			c := env.CreateCredential("orders")
			env.runFor(c, 5*lifetime)
			if calls := env.Calls(); calls < 5 || calls > 15 {
				t.Errorf("%d calls in five lifetimes", calls)
			}

			// A new process knows the time before its first decision, if STS answers.
			env.reconcile(c)
			before := env.Calls()
			env.restartOperator()
			env.Must(env.Operator.Identify(env.Context()))
			env.reconcile(c)
			env.WantCalls(before)
			// And if STS does not answer at first, its first call puts it right.
			env.restartOperator()
			env.runFor(c, 2*lifetime)
			if calls := env.Calls() - before; calls > 10 {
				t.Errorf("%d calls in two lifetimes after a restart", calls)
			}
		})
	}
}

func TestRestartMakesNoCall(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	version, secretVersion := c.ResourceVersion, env.Secret("orders").ResourceVersion
	env.restartOperator()
	env.Step(10 * time.Minute)
	env.reconcile(c)
	env.WantCalls(1)
	if c.ResourceVersion != version || env.Secret("orders").ResourceVersion != secretVersion {
		t.Error("a restart wrote to the object or its Secret")
	}
}

func TestRenewRequest(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	ask := func(value string) {
		env.Edit(c, func(c *v1alpha1.StsCredential) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, value)
		})
		env.reconcile(c)
		env.reconcile(c)
	}
	for i, tt := range []struct {
		value string
		calls int
	}{{"a", 2}, {"a", 2}, {"b", 3}, {"a", 4}, {"", 4}, {strings.Repeat("x", 1000), 5}} {
		ask(tt.value)
		if got := env.Calls(); got != tt.calls {
			t.Errorf("request %d (%.5s…): %d calls, want %d", i, tt.value, got, tt.calls)
		}
	}
}

func TestSuspend(t *testing.T) {
	env := newEnvironment(t)
	suspend := func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true }
	never := env.CreateCredential("never", suspend)
	env.reconcile(never)
	env.WantCalls(0)
	env.WantCondition(never, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "Set it to false")
	env.WantCondition(never, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSuspended, "")

	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Edit(c, suspend)
	env.Step(50 * time.Minute)
	next := env.reconcile(c)
	env.WantCalls(1)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
	if next.RequeueAfter != 10*time.Minute {
		t.Errorf("requeue after %v, want at expiry", next.RequeueAfter)
	}
	env.Step(10 * time.Minute)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "")

	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = false })
	env.reconcile(c)
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")
}

func TestSpecChanges(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	for _, tt := range []struct {
		name   string
		change func(*v1alpha1.StsCredential)
		calls  int
	}{
		{"duration asks anew", func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 2 * time.Hour} }, 2},
		{"renewBefore does not", func(c *v1alpha1.StsCredential) { c.Spec.RenewBefore = &metav1.Duration{Duration: 10 * time.Minute} }, 2},
		{"labels and annotations do not", func(c *v1alpha1.StsCredential) {
			c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
			c.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"note": "x"}
		}, 2},
		{"the default written out does not", func(c *v1alpha1.StsCredential) {
			c.Spec.SessionName = c.Namespace + ".orders"
			c.Spec.Secret.Name = "orders"
		}, 2},
		{"externalID asks anew", func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" }, 3},
	} {
		env.Edit(c, tt.change)
		env.reconcile(c)
		if got := env.Calls(); got != tt.calls {
			t.Errorf("%s: %d calls, want %d", tt.name, got, tt.calls)
		}
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		if c.Status.ObservedGeneration != c.Generation {
			t.Errorf("%s: observedGeneration %d of %d", tt.name, c.Status.ObservedGeneration, c.Generation)
		}
	}
	s := env.Secret("orders")
	if s.Labels["team"] != "shop" || s.Annotations["note"] != "x" {
		t.Errorf("labels %v, annotations %v do not follow the spec", s.Labels, s.Annotations)
	}
}

// A cache that lags behind the operator's own writes must not make it ask again.
func TestLaggingCache(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.WaitForCache(c)
	for range 50 {
		env.reconcileStale(c)
	}
	env.WantCalls(1)
}

func TestBudgetMakesItWait(t *testing.T) {
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 0.1, 1)
	first, second := env.CreateCredential("first"), env.CreateCredential("second")
	env.reconcile(first)
	version := second.ResourceVersion
	env.reconcile(second)
	env.WantCalls(1)
	if second.ResourceVersion != version {
		t.Error("a short wait was written to the status")
	}

	env.Budget.Throttled(account, 40*time.Second)
	next := env.reconcile(second)
	env.WantCalls(1)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	env.WantCondition(second, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonIssuing, "")
	if next.RequeueAfter < 40*time.Second || next.RequeueAfter > time.Minute {
		t.Errorf("requeue after %v", next.RequeueAfter)
	}
	env.Step(next.RequeueAfter)
	env.reconcile(second)
	env.WantCalls(2)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}
