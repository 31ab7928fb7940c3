// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestRetryDelay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		class    sts.Class
		failures int
		lifeLeft time.Duration
		want     time.Duration // the longest; up to a fifth less
	}{
		{"transient, first", sts.Transient, 0, 0, time.Second},
		{"transient, fourth", sts.Transient, 3, 0, 8 * time.Second},
		{"transient, last", sts.Transient, 100, 0, time.Minute},
		{"throttled", sts.Throttled, 1, 0, 2 * time.Second},
		{"transient, little life left", sts.Transient, 100, 20 * time.Second, 5 * time.Second},
		{"transient, hardly any life left", sts.Transient, 100, time.Millisecond, time.Second},
		{"refused, first", sts.Refused, 0, 0, time.Minute},
		{"refused, last", sts.Refused, 100, 0, 10 * time.Minute},
		{"stale identity", sts.StaleIdentity, 1, 0, 2 * time.Minute},
		{"refused, little life left", sts.Refused, 100, 2 * time.Minute, 30 * time.Second},
		{"refused, hardly any life left", sts.Refused, 0, time.Second, 10 * time.Second},
		{"invalid, first", sts.Invalid, 0, time.Hour, time.Minute},
		{"invalid, last", sts.Invalid, 100, 0, 10 * time.Minute},
	} {
		p := &callPace{seed: "uid", failures: tt.failures}
		if got := p.delay(tt.class, tt.lifeLeft); got > tt.want || got < tt.want*4/5 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	a, b := &callPace{seed: "a"}, &callPace{seed: "b"}
	if a.delay(sts.Refused, 0) == b.delay(sts.Refused, 0) {
		t.Error("two objects retry in step")
	}
}

func TestStateIsOfOneObject(t *testing.T) {
	var m objectStates
	object := func(uid types.UID) *v1alpha1.StsCredential {
		return &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: uid}}
	}
	m.of(object("a"), time.Time{}).renewal.calls.failures = 3
	if got := m.of(object("a"), time.Time{}).renewal.calls.failures; got != 3 {
		t.Errorf("failures = %d, want them remembered", got)
	}
	if got := m.of(object("b"), time.Time{}).renewal.calls.failures; got != 0 {
		t.Errorf("failures = %d, want none: it is another object of that name", got)
	}
	m.forget(types.NamespacedName{Namespace: "shop", Name: "orders"})
	if len(m.byKey) != 0 {
		t.Error("a forgotten object is remembered")
	}
}

func TestLag(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := objectState{version: "100", versionAt: now}
	for version, want := range map[string]bool{"99": true, "100": false, "101": false, "1000": false, "not a number": false} {
		if got := older(version, s.version); got != want {
			t.Errorf("Secret at %s lags: %v", version, got)
		}
	}
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99"}}
	if !s.lags(c, now.Add(time.Second)) || s.lags(c, now.Add(5*time.Second)) {
		t.Error("an older object is waited for, but not for ever")
	}
}

func TestCallsOfOneObject(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	pace := newCallPace("orders")
	for range callBurst {
		if wait := pace.untilCall(now); wait != 0 {
			t.Fatalf("a call of the first %d waits %v", callBurst, wait)
		}
		pace.recordCall(now)
	}
	for range 3 { // looking takes nothing
		if wait := pace.untilCall(now); wait != callEvery {
			t.Errorf("the next waits %v, want %v", wait, callEvery)
		}
	}
	if wait := pace.untilCall(now.Add(callEvery)); wait != 0 {
		t.Errorf("at its time it waits %v", wait)
	}
}

func TestPendingCredentials(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	keep := func() *objectState {
		s := &objectState{}
		s.renewal.pending = pending{&credentials.Credentials{AccessKeyID: "id", SecurityToken: "hush", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, "a"}
		return s
	}
	s := keep()
	p := &s.renewal.pending
	p.dropUnless("a", now.Add(29*time.Minute))
	if p.issued == nil || p.issued.AccessKeyID != "id" {
		t.Error("dropped at once")
	}
	if said := fmt.Sprintf("%v %+v %#v", s, s, *p); strings.Contains(said, "hush") {
		t.Errorf("prints what it hides: %s", said)
	}
	for name, drop := range map[string]func(p *pending){
		"another is requested":     func(p *pending) { p.dropUnless("b", now) },
		"half of its life is over": func(p *pending) { p.dropUnless("a", now.Add(30*time.Minute)) },
	} {
		p := &keep().renewal.pending
		if drop(p); p.issued != nil {
			t.Errorf("kept though %s", name)
		}
	}
}

// Nothing waits to be written where nothing is to be renewed, unless a Secret stands in the way.
func TestIdleRenewalDropsPendingCredentials(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		blocked *reconcileError
		want    bool
	}{
		"nothing is to be renewed": {nil, false},
		"the spec is refused":      {newError(v1alpha1.ReasonInvalidSpec, "no"), false},
		"a Secret is in the way":   {newError(v1alpha1.ReasonSecretConflict, "no"), true},
	} {
		client, err := sts.New(sts.Options{Endpoint: "http://sts.invalid", Clock: clocktesting.NewFakeClock(now)})
		if err != nil {
			t.Fatal(err)
		}
		step := renewer{decider: decider{sts: client}, calls: roleAssumer{budget: ratelimit.NewBudget(1, 1, clocktesting.NewFakeClock(now))}}
		var state renewState
		tg := target{credential: &v1alpha1.StsCredential{}}
		state.pending = pending{&credentials.Credentials{IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, tg.requestKey()}
		if _, err := step.renew(t.Context(), tg, existing{}, renewal.Decision{}, tt.blocked, &state); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if kept := state.pending.issued != nil; kept != tt.want {
			t.Errorf("%s: kept = %t, want %t", name, kept, tt.want)
		}
	}
}

// What is wrong is reported in the order of precedence; a wait only if nothing is wrong. All that is due is tried again.
func TestPrecedenceOfErrors(t *testing.T) {
	wait, later := waitFor(time.Second, "waits"), waitFor(time.Minute, "")
	one, two := newError("One", "one"), newError("Two", "two").retry(time.Hour)
	fatal := errors.New("the API server's")
	for name, tt := range map[string]struct {
		errs  []error
		want  *reconcileError
		fatal error
		due   []time.Duration
	}{
		"nothing":              {[]error{nil, nil}, nil, nil, nil},
		"the first error":      {[]error{nil, one, two}, one, nil, []time.Duration{time.Hour}},
		"an error after waits": {[]error{wait, later, two}, two, nil, []time.Duration{time.Second, time.Minute, time.Hour}},
		"an error before one":  {[]error{one, wait}, one, nil, []time.Duration{time.Second}},
		"the first wait":       {[]error{nil, wait, later}, wait, nil, []time.Duration{time.Second, time.Minute}},
		"another error ends":   {[]error{one, fatal, two}, nil, fatal, []time.Duration{time.Hour}},
	} {
		if got, ends := first(tt.errs...); got != tt.want || !errors.Is(ends, tt.fatal) {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, ends, tt.want, tt.fatal)
		}
		if got := retries(tt.errs); !slices.Equal(got, tt.due) {
			t.Errorf("%s: due %v, want %v", name, got, tt.due)
		}
	}
}

func TestWallJump(t *testing.T) {
	now := time.Now()
	if got := wallJump(now, now.Add(time.Minute)); got != 0 {
		t.Errorf("wallJump = %v of a clock that only went on", got)
	}
}

func TestMessagesAreCut(t *testing.T) {
	message := newError("Reason", "%s", strings.Repeat("é", 1000)).message
	if n := len(message); n > eventrecorder.MaxMessage+len("…") || !strings.HasSuffix(message, "é…") {
		t.Errorf("message of %d bytes", n)
	}
}

// Tries that came early while little life was left do not put off the one after it.
func TestEarlyRetriesDoNotCount(t *testing.T) {
	p := &callPace{seed: "a"}
	for i := range 6 {
		if delay := p.delay(sts.Refused, 30*time.Second); delay > refusedRush {
			t.Errorf("try %d comes after %v", i, delay)
		}
	}
	if delay := p.delay(sts.Refused, 0); delay > refusedMin {
		t.Errorf("once it has expired, the next comes after %v", delay)
	}
	if delay := p.delay(sts.Refused, 0); delay < refusedMin {
		t.Errorf("and the one after that after %v", delay)
	}
}

// A wait is reported once it has lasted: since the first reconcile where nothing is reported yet, however old the object is.
func TestQuietWaits(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	reported := func(ready metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready}}
	}
	for name, row := range map[string]struct {
		conditions []metav1.Condition
		looked     time.Duration // how long ago for the first time
		wait       time.Duration
		usable     bool
		err        *reconcileError
		want       bool
	}{
		"nothing to wait for":                    {looked: time.Second},
		"just seen":                              {wait: time.Second, want: true},
		"seen for almost half a minute":          {looked: debouncePeriod - 1, wait: time.Second, want: true},
		"seen for half a minute":                 {looked: debouncePeriod, wait: time.Second},
		"a long wait to come":                    {wait: debouncePeriod},
		"an error":                               {wait: time.Second, err: newError("Reason", "no")},
		"reported Ready, and the Secret works":   {conditions: reported(metav1.ConditionTrue), looked: time.Hour, wait: time.Second, usable: true, want: true},
		"reported Ready, but the Secret is gone": {conditions: reported(metav1.ConditionTrue), wait: time.Second},
		"reported not Ready":                     {conditions: reported(metav1.ConditionFalse), looked: time.Hour, wait: time.Second, want: true},
	} {
		c := &v1alpha1.StsCredential{Status: v1alpha1.StsCredentialStatus{Conditions: row.conditions}}
		c.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
		o := result{target: target{credential: c}, held: true, err: row.err, decision: renewal.Decision{Cause: renewal.CauseDue, Usable: row.usable}}
		if row.err == nil && row.wait > 0 {
			o.err = waitFor(row.wait, "")
		}
		if got := o.debounced(now.Add(-row.looked), now); got != row.want {
			t.Errorf("%s: %t, want %t", name, got, row.want)
		}
	}
}
