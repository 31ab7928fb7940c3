// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// Of several things that are wrong, the one that comes first in the API's order is reported. A Secret that the cache does not
// show comes in where it is read: not before the first call to STS, unless the object has a status.
func TestPrecedenceOfReasons(t *testing.T) {
	wrong := []struct {
		reason string
		given  func(env *environment, c *v1alpha1.StsCredential)
	}{
		{v1alpha1.ReasonInvalidSpec, func(_ *environment, c *v1alpha1.StsCredential) {
			c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)}
		}},
		{v1alpha1.ReasonSuspended, func(_ *environment, c *v1alpha1.StsCredential) { c.Spec.Suspend = true }},
		{v1alpha1.ReasonRoleNotGranted, func(env *environment, _ *v1alpha1.StsCredential) { env.Revoke() }},
		{v1alpha1.ReasonSecretConflict, func(env *environment, _ *v1alpha1.StsCredential) {
			env.Must(api.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}}))
		}},
		{v1alpha1.ReasonIdentityUnavailable, func(env *environment, _ *v1alpha1.StsCredential) { env.OperatorKey = stsemulator.AccessKey{} }},
		{v1alpha1.ReasonRoleRefused, func(env *environment, _ *v1alpha1.StsCredential) { env.Emulator.RemoveRole(role) }},
	}
	for i, first := range wrong {
		t.Run(first.reason, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
				for _, also := range wrong[i:] {
					also.given(env, c)
				}
			})
			if first.reason == v1alpha1.ReasonSecretConflict {
				env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
				env.reconcile(c)
				env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = false })
			}
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, first.reason, "")
		})
	}
}

// What may pass without a person is Reconciling, not Stalled: kstatus takes Stalled for failed at once.
func TestHiccupsDoNotStall(t *testing.T) {
	env := newEnvironment(t)
	through := env.Client
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return context.DeadlineExceeded
		},
	})
	c := env.CreateCredential("orders")
	next := env.reconcile(c).RequeueAfter
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "did not answer")
	env.WantCondition(c, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	if !strings.Contains(env.log.String(), `"accessKeyID"=`) {
		t.Error("what STS issued is not in the audit log since it could not be written")
	}
	env.Client = through
	env.Step(next)
	env.reconcile(c)
	env.WantCalls(1) // the session in hand is written
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")

	env = newEnvironment(t)
	env.Operator = identity.NewOperator(identity.Options{STS: env.stsClient, Clock: env.OperatorClock, NewFetch: func() identity.Fetch {
		return func() (credentials.Credentials, error) {
			return credentials.Credentials{}, &identity.UnavailableError{Class: sts.Transient, NextStep: "the metadata service did not answer"}
		}
	}})
	c = env.CreateCredential("orders")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "did not answer")
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")
}

// A changed spec that waits for its turn is not Expired while the old credentials work.
func TestWaitingIsNotExpired(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Budget = stsBudget(env, 0.1, 1)
	env.reconcile(env.CreateCredential("other"))
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	env.Step(time.Hour)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// A throttling answer that asks for a long pause does not silence a credential until after its expiry.
func TestLongThrottling(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Step(45 * time.Minute)
	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling.User", Duration: 30 * time.Minute, Times: 1})
	env.runFor(c, 30*time.Minute)
}

// However long what a user wrote is, the status names it.
func TestLongTexts(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","` + strings.Repeat("k", 900) + `":"x","Statement":[]}`)}
	})
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "unknown element")
	if n := len(c.Status.Conditions[0].Message); n > eventrecorder.MaxMessage+3 {
		t.Errorf("message of %d bytes", n)
	}
}

// When somebody sets the local clock, STS is asked for the time again.
func TestClockIsSet(t *testing.T) {
	env := newEnvironment(t)
	env.OperatorClock.Step(10 * time.Minute)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.RenewBefore = &metav1.Duration{Duration: 5 * time.Minute}
	})
	env.reconcile(c)
	env.OperatorClock.Step(-10 * time.Minute)
	jumps := make(chan time.Duration, 2)
	jumps <- -10 * time.Minute
	jumps <- 0
	leading := make(chan struct{})
	woken := make(chan wakeUp, 10)
	watch := env.clockMonitor(leading, woken, func(time.Time, time.Time) time.Duration { return <-jumps })
	close(leading)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(env.Context())
	go func() { ended <- watch.Start(ctx) }()
	env.Eventually("the credential is enqueued", func(context.Context) bool {
		env.Step(clockInterval)
		return len(woken) > 0
	})
	cancel()
	close(jumps)
	env.Must(<-ended)
	if skew := env.stsClient.Skew(); skew != 0 {
		t.Errorf("STS's clock is thought to be %v ahead", skew)
	}
	env.runFor(c, time.Hour)
}
