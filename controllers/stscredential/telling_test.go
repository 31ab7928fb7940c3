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
	"github.com/stscredential/sts-credential-operator/internal/eventlimit"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Of several things that are wrong, the one that comes first in the API's order is reported. A Secret that the cache does not
// show comes in where it is read: not before the first call to STS, unless the object has a status.
func TestPrecedenceOfReasons(t *testing.T) {
	wrong := []struct {
		reason string
		given  func(w *world, c *v1alpha1.StsCredential)
	}{
		{v1alpha1.ReasonInvalidSpec, func(_ *world, c *v1alpha1.StsCredential) {
			c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"2"}`)}
		}},
		{v1alpha1.ReasonSuspended, func(_ *world, c *v1alpha1.StsCredential) { c.Spec.Suspend = true }},
		{v1alpha1.ReasonRoleNotGranted, func(w *world, _ *v1alpha1.StsCredential) { w.revoke() }},
		{v1alpha1.ReasonSecretConflict, func(w *world, _ *v1alpha1.StsCredential) {
			w.must(api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}}))
		}},
		{v1alpha1.ReasonIdentityUnavailable, func(w *world, _ *v1alpha1.StsCredential) { w.key = stsemulator.AccessKey{} }},
		{v1alpha1.ReasonRoleRefused, func(w *world, _ *v1alpha1.StsCredential) { w.emulator.RemoveRole(role) }},
	}
	for i, first := range wrong {
		t.Run(first.reason, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders", func(c *v1alpha1.StsCredential) {
				for _, also := range wrong[i:] {
					also.given(w, c)
				}
			})
			if first.reason == v1alpha1.ReasonSecretConflict {
				w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
				w.pass(c)
				w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = false })
			}
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, first.reason, "")
		})
	}
}

// What may pass without a person is Reconciling, not Stalled: kstatus takes Stalled for failed at once.
func TestHiccupsDoNotStall(t *testing.T) {
	w := newWorld(t)
	through := w.Client
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return context.DeadlineExceeded
		},
	})
	c := w.credential("orders")
	next := w.pass(c).RequeueAfter
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "did not answer")
	w.wantCondition(c, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
	w.wantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	if !strings.Contains(w.log.String(), `"accessKeyID"=`) {
		t.Error("what STS issued is not in the audit log since it could not be written")
	}
	w.Client = through
	w.step(next)
	w.pass(c)
	w.wantCalls(1) // the session in hand is written
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")

	w = newWorld(t)
	w.Operator = identity.NewOperator(identity.Options{STS: w.client, Clock: w.clock, NewFetch: func() identity.Fetch {
		return func() (credentials.Credentials, error) {
			return credentials.Credentials{}, &identity.UnavailableError{Class: sts.Transient, NextStep: "the metadata service did not answer"}
		}
	}})
	c = w.credential("orders")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "did not answer")
	w.wantCondition(c, v1alpha1.ConditionStalled, "", "", "")
}

// A changed spec that waits for its turn is not Expired while the old credentials work.
func TestWaitingIsNotExpired(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.Budget = stsBudget(w, 0.1, 1)
	w.pass(w.credential("other"))
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonIssuing, "")
	w.step(time.Hour)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// A throttling answer that asks for a long pause does not silence a credential until after its expiry.
func TestLongThrottling(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.step(45 * time.Minute)
	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling.User", Duration: 30 * time.Minute, Times: 1})
	w.live(c, 30*time.Minute)
}

// However long what a user wrote is, the status tells of it.
func TestLongTexts(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","` + strings.Repeat("k", 900) + `":"x","Statement":[]}`)}
	})
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "unknown element")
	if n := len(c.Status.Conditions[0].Message); n > eventlimit.MaxMessage+3 {
		t.Errorf("message of %d bytes", n)
	}
}

// When somebody sets the local clock, STS is asked for the time again.
func TestClockIsSet(t *testing.T) {
	w := newWorld(t)
	w.clock.Step(10 * time.Minute)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.RenewBefore = &metav1.Duration{Duration: 5 * time.Minute}
	})
	w.pass(c)
	w.clock.Step(-10 * time.Minute)
	jumps := make(chan time.Duration, 2)
	jumps <- -10 * time.Minute
	jumps <- 0
	leading := make(chan struct{})
	w.wake = make(chan wakeUp, 10)
	watch := &clockWatch{Reconciler: w.Reconciler, leading: leading, jump: func(time.Time, time.Time) time.Duration { return <-jumps }}
	close(leading)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(w.ctx)
	go func() { ended <- watch.Start(ctx) }()
	w.eventually("the credential is woken", func(context.Context) bool {
		w.step(clockInterval)
		return len(w.wake) > 0
	})
	cancel()
	close(jumps)
	w.must(<-ended)
	if skew := w.client.Skew(); skew != 0 {
		t.Errorf("STS's clock is thought to be %v ahead", skew)
	}
	w.live(c, time.Hour)
}
