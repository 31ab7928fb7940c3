// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Each second that a Secret holds what has expired counts once, whoever scrapes when.
func TestExpiredSeconds(t *testing.T) {
	suspend := func(env *environment, c *v1alpha1.StsCredential, value bool) {
		env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = value })
		env.reconcile(c)
	}
	for _, tt := range []struct {
		name string
		then func(env *environment, c *v1alpha1.StsCredential) // from a minute past the expiry on, which a reconcile has seen
		want float64
	}{
		{"it goes on though nothing is reconciled", func(env *environment, _ *v1alpha1.StsCredential) { env.Step(time.Minute) }, 120},
		{"it ends with the renewal", func(env *environment, c *v1alpha1.StsCredential) {
			env.Step(time.Minute)
			env.Emulator.Clear()
			env.reconcile(c)
			env.Step(10 * time.Minute)
			env.reconcile(c)
		}, 120},
		{"it ends with the object", func(env *environment, c *v1alpha1.StsCredential) {
			env.Step(30 * time.Second)
			env.Must(api.Delete(env.Context(), c))
			env.reconcile(c)
			env.Step(time.Minute)
		}, 90},
		{"a suspended object does not count, and counts on when it is resumed", func(env *environment, c *v1alpha1.StsCredential) {
			suspend(env, c, true)
			env.Step(time.Hour)
			env.reconcile(c)
			env.Step(time.Hour)
			suspend(env, c, false)
			env.Step(5 * time.Second)
		}, 65},
		{"another spec changes nothing", func(env *environment, c *v1alpha1.StsCredential) {
			env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.SessionName = env.Namespace + ".other" })
			env.Step(time.Minute)
			env.reconcile(c)
		}, 120},
		{"another process counts what it sees itself", func(env *environment, c *v1alpha1.StsCredential) {
			env.restartOperator()
			env.Step(time.Hour)
			env.reconcile(c)
			env.Step(7 * time.Second)
			env.reconcile(c)
		}, 7},
		{"a clock that is set back takes nothing back", func(env *environment, _ *v1alpha1.StsCredential) {
			env.wantMetrics("before", map[string]float64{"expired_seconds_total": 60})
			env.Step(-30 * time.Second)
			env.wantMetrics("set back", map[string]float64{"expired_seconds_total": 60})
			env.Step(time.Minute)
		}, 90},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "InternalError"})
			env.Step(59 * time.Minute)
			env.reconcile(c)
			env.wantMetrics("not yet", map[string]float64{"expired_seconds_total": 0})
			env.Step(2 * time.Minute)
			env.reconcile(c)
			tt.then(env, c)
			env.wantMetrics("in the end", map[string]float64{"expired_seconds_total": tt.want})
			env.wantMetrics("once more", map[string]float64{"expired_seconds_total": tt.want})
		})
	}
}

// All that have expired count, those too whose only reconcile since is the one that renews them.
func TestExpiredSecondsAddUp(t *testing.T) {
	env := newEnvironment(t)
	one, two := env.CreateCredential("one"), env.CreateCredential("two")
	asleep := env.CreateCredential("asleep")
	for _, c := range []*v1alpha1.StsCredential{one, two, asleep} {
		env.reconcile(c)
	}
	env.Edit(asleep, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	env.Step(time.Hour)
	env.reconcile(asleep)
	env.reconcile(two) // at its expiry, to the second
	env.wantMetrics("none is late", map[string]float64{"expired_seconds_total": 0})
	env.Step(3 * time.Minute)
	env.reconcile(one)
	env.reconcile(asleep)
	env.wantMetrics("one was late", map[string]float64{"expired_seconds_total": 180})
	env.Step(10 * time.Minute)
	env.reconcile(one)
	env.wantMetrics("no more", map[string]float64{"expired_seconds_total": 180})
}
