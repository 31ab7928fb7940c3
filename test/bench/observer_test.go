// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// seeing returns a watch event as the API server sends it.
func seeing(t *testing.T, name, ready, requestID string, issued, expires time.Time) (e event) {
	t.Helper()
	text := fmt.Sprintf(`{"type":"MODIFIED","object":{"metadata":{"name":%q,"uid":"u-%[1]s","namespace":"bench"},"status":{
		"conditions":[{"type":"Ready","status":%q}],"issuedAt":%q,"expiresAt":%q,"requestID":%q}}}`,
		name, ready, issued.Format(time.RFC3339), expires.Format(time.RFC3339), requestID)
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestObserver(t *testing.T) {
	o := &observer{changed: make(chan struct{}), done: make(chan struct{}), last: map[string]state{}}
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	first := seeing(t, "a", "True", "r1", start, start.Add(100*time.Second))
	planned := due(first)
	if early, late := planned.Sub(start) < 56*time.Second, planned.Sub(start) > 67*time.Second; early || late {
		t.Fatalf("due after %s, want two thirds of the life less a tenth at most", planned.Sub(start))
	}

	o.record(seeing(t, "a", "Unknown", "", start, start), start)
	o.record(first, start.Add(time.Second))
	o.record(first, start.Add(2*time.Second)) // the same event again
	o.record(seeing(t, "b", "True", "r2", start, start.Add(10*time.Second)), start.Add(3*time.Second))
	if when, err := o.allReady(t.Context(), 2); err != nil || !when.Equal(start.Add(3*time.Second)) {
		t.Errorf("all are ready at %s, %v", when, err)
	}

	// One is renewed 250 ms after it was due. The other is renewed 5 s after its expiration, and is expired again for 2 s.
	o.record(seeing(t, "a", "True", "r3", planned, planned.Add(time.Hour)), planned.Add(250*time.Millisecond))
	o.record(seeing(t, "b", "True", "r4", start, start.Add(90*time.Second)), start.Add(15*time.Second))
	late, renewals, expired := o.observed(start.Add(92 * time.Second))
	if renewals != 2 || late[0] != 250*time.Millisecond {
		t.Errorf("%d renewals, late by %v", renewals, late)
	}
	if expired != 7*time.Second {
		t.Errorf("expired for %s, want 5 s until it was replaced and 2 s of what still is", expired)
	}
	o.forget()
	if _, renewals, _ := o.observed(start); renewals != 0 {
		t.Errorf("%d renewals after they were forgotten", renewals)
	}
}

func TestObserverTellsThatItsWatchEnded(t *testing.T) {
	o := &observer{changed: make(chan struct{}), done: make(chan struct{}), last: map[string]state{}}
	close(o.done)
	if _, err := o.allReady(t.Context(), 1); err == nil {
		t.Error("it waits for an observer that sees nothing any more")
	}
}

func TestObserverGoesOnWhereItsWatchEnded(t *testing.T) {
	answers := []string{
		`{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}{"type":"MODI`,
		`{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"9"},"status":{"requestID":"r1","conditions":[{"type":"Ready","status":"True"}]}}}`,
		`{"type":"ERROR","object":{"code":410}}`,
	}
	var asked []string
	watch := func(version string) (io.ReadCloser, error) {
		asked = append(asked, version)
		return io.NopCloser(strings.NewReader(answers[len(asked)-1])), nil
	}
	stream, err := watch("")
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{changed: make(chan struct{}), done: make(chan struct{}), last: map[string]state{}}
	o.follow(stream, watch)
	if want := []string{"", "7", "9"}; !slices.Equal(asked, want) {
		t.Errorf("it watched from %q, want %q", asked, want)
	}
	if o.ready != 1 || o.err == nil || !strings.Contains(o.err.Error(), "from version 9") {
		t.Errorf("%d are ready, and it ended with %v", o.ready, o.err)
	}
}

func TestQuantile(t *testing.T) {
	var sorted []time.Duration
	for i := range 200 {
		sorted = append(sorted, time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 100, 0.99: 198, 1: 199} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("of nothing, the quantile is not 0")
	}
}
