// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"testing"
	"time"
)

func TestThrottling(t *testing.T) {
	const tick = 100 * time.Millisecond // one call of ten per second
	for _, c := range []struct {
		name  string
		burst int
		steps []step
	}{
		{"an answer stops everybody, and halves the rate", 5, []step{
			{acquire: "a"}, {throttled: 3 * time.Second}, {acquire: "b", want: 3 * time.Second}, {acquire: "c", want: 3*time.Second + 2*tick},
			{after: 3 * time.Second, acquire: "b"}, {acquire: "c", want: 2 * tick},
		}},
		{"a waiting claim keeps its position", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {acquire: "c", want: 2 * tick}, {throttled: time.Second},
			{acquire: "c", want: time.Second + 2*tick}, {acquire: "b", want: time.Second + 2*tick}, {after: time.Second, admitted: "b", want: 2 * tick},
		}},
		{"an admitted claim waits again, before the others", 1, []step{
			{acquire: "a"}, {acquire: "b", want: tick}, {acquire: "c", want: 2 * tick}, {after: tick, admitted: "b", want: tick}, {throttled: time.Second},
			{admitted: "", want: time.Second}, {acquire: "b", want: time.Second + 2*tick}, {after: time.Second, admitted: "b", want: 2 * tick}, {acquire: "b"},
		}},
		{"32 workers that meet one wave halve the rate once", 1, []step{
			{throttled: time.Second}, {throttled: time.Second}, {throttled: time.Second},
			{acquire: "a", want: time.Second}, {acquire: "b", want: time.Second + 2*tick},
		}},
		{"a wave after the pause halves it again", 1, []step{
			{throttled: time.Second}, {after: time.Second, throttled: time.Second},
			{acquire: "a", want: time.Second}, {acquire: "b", want: time.Second + 4*tick},
		}},
		{"an untold pause is a second", 1, []step{{throttled: -1}, {acquire: "a", want: time.Second}}},
		{"an endless pause is a minute", 1, []step{{throttled: time.Hour}, {acquire: "a", want: time.Minute}}},
		{"a shorter pause does not end a longer one", 1, []step{
			{throttled: 5 * time.Second}, {throttled: time.Second}, {acquire: "a", want: 5 * time.Second},
		}},
		{"there is no burst until the rate has recovered", 5, []step{
			{throttled: time.Second}, {after: 60 * time.Second, acquire: "a"}, {acquire: "b", want: 100840 * time.Microsecond},
		}},
		{"and then there is", 2, []step{
			{throttled: time.Second}, {after: 62 * time.Second, acquire: "a"}, {acquire: "b"}, {acquire: "c", want: tick},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(newEnvironment(t, 10, c.burst), c.steps) })
	}
}

// The rate is cut at once and grows back by even steps, and after each answer from where it was.
func TestTheRateIsCutAndGrowsBack(t *testing.T) {
	e := newEnvironment(t, 24, 5)
	want := func(story string, after time.Duration, want float64) {
		t.Helper()
		e.step(after)
		if got := e.Limit(account); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s: %v calls per second, want %v", story, got, want)
		}
	}
	want("before the first call", 0, 24)
	e.Throttled("another", time.Second)
	want("another account is throttled", 0, 24)
	e.Throttled(account, time.Second)
	want("throttled", 0, 12)
	want("the end of the pause", time.Second, 12)
	want("a second later, though nobody calls", time.Second, 12.2)
	want("half a minute later", 29*time.Second, 18)
	e.Throttled(account, 10*time.Second)
	want("throttled again", 0, 9)
	want("the pause", 10*time.Second, 9)
	want("a minute later", time.Minute, 21)
	want("14 seconds later", 14*time.Second, 23.8)
	want("recovered", time.Second, 24)
	want("it stays so", time.Hour, 24)
}

func TestBudgetNeverGoesBelowASixteenth(t *testing.T) {
	e := newEnvironment(t, 16, 1)
	for range 20 {
		e.Throttled(account, time.Second)
		e.step(time.Second)
	}
	if got := e.Limit(account); got != 1 {
		t.Errorf("%v calls per second, want 1", got)
	}
	e.Acquire(account, named("a"))
	if got := e.Acquire(account, named("b")); got != time.Second {
		t.Errorf("got %v, want a call per second", got)
	}
}

// Throttling does not raise a rate of one call in ten seconds.
func TestPausesAreNotShortened(t *testing.T) {
	e := newEnvironment(t, 0.1, 1)
	e.Acquire(account, named("a"))
	calls := 0
	for range 600 {
		if e.Acquire(account, named("b")) == 0 {
			calls++
			e.Throttled(account, time.Second)
		}
		e.step(time.Second)
	}
	if calls > 60/2 {
		t.Errorf("%d calls in ten minutes", calls)
	}
}
