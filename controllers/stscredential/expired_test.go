// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Each second that a Secret holds what has expired counts once, whoever scrapes when.
func TestExpiredSeconds(t *testing.T) {
	suspend := func(w *world, c *v1alpha1.StsCredential, value bool) {
		w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = value })
		w.pass(c)
	}
	for _, tt := range []struct {
		name string
		then func(w *world, c *v1alpha1.StsCredential) // from a minute past the expiry on, which a pass has seen
		want float64
	}{
		{"it goes on though nobody looks", func(w *world, _ *v1alpha1.StsCredential) { w.step(time.Minute) }, 120},
		{"it ends with the renewal", func(w *world, c *v1alpha1.StsCredential) {
			w.step(time.Minute)
			w.emulator.Clear()
			w.pass(c)
			w.step(10 * time.Minute)
			w.pass(c)
		}, 120},
		{"it ends with the object", func(w *world, c *v1alpha1.StsCredential) {
			w.step(30 * time.Second)
			w.must(api.Delete(w.ctx, c))
			w.pass(c)
			w.step(time.Minute)
		}, 90},
		{"a suspended object does not count, and counts on when it is resumed", func(w *world, c *v1alpha1.StsCredential) {
			suspend(w, c, true)
			w.step(time.Hour)
			w.pass(c)
			w.step(time.Hour)
			suspend(w, c, false)
			w.step(5 * time.Second)
		}, 65},
		{"another spec changes nothing", func(w *world, c *v1alpha1.StsCredential) {
			w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.SessionName = w.namespace + ".other" })
			w.step(time.Minute)
			w.pass(c)
		}, 120},
		{"another process counts what it sees itself", func(w *world, c *v1alpha1.StsCredential) {
			w.restart()
			w.step(time.Hour)
			w.pass(c)
			w.step(7 * time.Second)
			w.pass(c)
		}, 7},
		{"a clock that is set back takes nothing back", func(w *world, _ *v1alpha1.StsCredential) {
			w.wantMetrics("before", map[string]float64{"expired_seconds_total": 60})
			w.step(-30 * time.Second)
			w.wantMetrics("set back", map[string]float64{"expired_seconds_total": 60})
			w.step(time.Minute)
		}, 90},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "InternalError"})
			w.step(59 * time.Minute)
			w.pass(c)
			w.wantMetrics("not yet", map[string]float64{"expired_seconds_total": 0})
			w.step(2 * time.Minute)
			w.pass(c)
			tt.then(w, c)
			w.wantMetrics("in the end", map[string]float64{"expired_seconds_total": tt.want})
			w.wantMetrics("once more", map[string]float64{"expired_seconds_total": tt.want})
		})
	}
}

// A Secret that a pass finds with what had expired long before, taken over or put back by somebody, counts from that pass on.
func TestWhatHadExpiredBeforeDoesNotCount(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &v1alpha1.StsCredential{}
	var e expired
	e.before(c, true, now)
	c.Status.ExpiresAt = &metav1.Time{Time: now.Add(-time.Hour)}
	e.note(c, now, now.Add(2*time.Second))
	e.before(c, true, now.Add(5*time.Second))
	if got := e.seconds(now.Add(7 * time.Second)); got != 7 {
		t.Errorf("%v s, want 7", got)
	}
}

// All that have expired count, those too whose only pass since is the one that renews them.
func TestExpiredSecondsAddUp(t *testing.T) {
	w := newWorld(t)
	one, two := w.credential("one"), w.credential("two")
	asleep := w.credential("asleep")
	for _, c := range []*v1alpha1.StsCredential{one, two, asleep} {
		w.pass(c)
	}
	w.edit(asleep, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	w.step(time.Hour)
	w.pass(asleep)
	w.pass(two) // at its expiry, to the second
	w.wantMetrics("none is late", map[string]float64{"expired_seconds_total": 0})
	w.step(3 * time.Minute)
	w.pass(one)
	w.pass(asleep)
	w.wantMetrics("one was late", map[string]float64{"expired_seconds_total": 180})
	w.step(10 * time.Minute)
	w.pass(one)
	w.wantMetrics("no more", map[string]float64{"expired_seconds_total": 180})
	if n := len(w.Metrics.expired.since); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}
