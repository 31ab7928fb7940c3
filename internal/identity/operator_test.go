// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
)

// source is a scripted source of credentials, which counts its calls.
type source struct {
	mu      sync.Mutex
	id      string // the AccessKey ID it gives, or
	err     error  // its failure
	calls   int
	built   int
	entered chan struct{} // receives at each call, if set
	hold    chan struct{} // blocks each call, if set
}

func (s *source) newFetch() identity.Fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built++
	return s.fetch
}

func (s *source) fetch() (credentials.Credentials, error) {
	s.mu.Lock()
	s.calls++
	id, err, entered, hold := s.id, s.err, s.entered, s.hold
	s.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if hold != nil {
		<-hold
	}
	if id == "panic" {
		panic("hush")
	}
	if err != nil {
		return credentials.Credentials{}, err
	}
	return credentials.Credentials{AccessKeyID: id, AccessKeySecret: "hush"}, nil
}

func (s *source) give(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.err = id, err
}

func (s *source) counts() (calls, built int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.built
}

func newClock() *clocktesting.FakePassiveClock {
	return clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

func newOperator(s *source, clock *clocktesting.FakePassiveClock) *identity.Operator {
	return identity.NewOperator(identity.Options{NewFetch: s.newFetch, Clock: clock})
}

var errSource = errors.New("GET https://hush/?token=hush failed")

func TestFirstCallersShareOneFetch(t *testing.T) {
	s := &source{id: "k1", entered: make(chan struct{}, 1), hold: make(chan struct{})}
	operator := newOperator(s, newClock())
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if keys, err := operator.Credentials(context.Background()); err != nil || keys.AccessKeyID != "k1" {
				t.Errorf("got %v, %v", keys.AccessKeyID, err)
			}
		})
	}
	<-s.entered
	close(s.hold)
	wg.Wait()
	if calls, _ := s.counts(); calls != 1 {
		t.Errorf("%d fetches, want 1", calls)
	}
}

// event is one thing that happens in a story; first the clock moves on by after.
type event struct {
	after      time.Duration
	give       string // the source gives this from now on, "-" is a failure
	invalidate string
	want       string // the AccessKey ID of Credentials; "-" for an error
	calls      int    // of the source, so far
}

func TestCredentials(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		events []event
		built  int
	}{
		{"the source is read again after ten seconds", []event{
			{give: "k1", want: "k1", calls: 1}, {after: 9 * s, give: "k2", want: "k1", calls: 1}, {after: s, want: "k2", calls: 2},
		}, 1},
		{"a failing source is left alone, longer each time", []event{
			{give: "-", want: "-", calls: 1}, {want: "-", calls: 1}, {after: s, want: "-", calls: 2},
			{after: s, want: "-", calls: 2}, {after: s, want: "-", calls: 3}, {after: 4 * s, want: "-", calls: 4},
			{after: 8 * s, want: "-", calls: 5}, {after: 16 * s, want: "-", calls: 6}, {after: 30 * s, want: "-", calls: 7},
			{after: 29 * s, want: "-", calls: 7}, {after: s, give: "k1", want: "k1", calls: 8},
		}, 8},
		{"a success forgets the failures", []event{
			{give: "-", want: "-", calls: 1}, {after: s, want: "-", calls: 2}, {after: 2 * s, give: "k1", want: "k1", calls: 3},
			{after: 10 * s, give: "-", want: "k1", calls: 4}, {after: s, want: "k1", calls: 5},
		}, 4},
		{"valid credentials are used while the source fails", []event{
			{give: "k1", want: "k1", calls: 1}, {after: time.Hour, give: "-", want: "k1", calls: 2}, {want: "k1", calls: 2},
			{after: s, want: "k1", calls: 3}, {after: 2 * s, give: "k2", want: "k2", calls: 4},
		}, 3},
		{"stale credentials are fetched again at once", []event{
			{give: "k1", want: "k1", calls: 1}, {give: "k2", invalidate: "k1", want: "k2", calls: 2}, {want: "k2", calls: 2},
		}, 2},
		{"stale credentials are not used", []event{
			{give: "k1", want: "k1", calls: 1}, {give: "-", invalidate: "k1", want: "-", calls: 2},
			{after: s, give: "k2", want: "k2", calls: 3},
		}, 3},
		{"invalidating earlier credentials has no effect", []event{
			{give: "k1", want: "k1", calls: 1}, {invalidate: "k0", want: "k1", calls: 1},
		}, 1},
		{"the same credentials, stale again, are fetched later", []event{
			{give: "k1", want: "k1", calls: 1}, {invalidate: "k1", want: "k1", calls: 2}, {invalidate: "k1", want: "k1", calls: 2},
			{after: 9 * s, invalidate: "k1", want: "k1", calls: 2}, {after: s, invalidate: "k1", want: "k1", calls: 3},
		}, 3},
		{"new credentials that are stale are fetched at once", []event{
			{give: "k1", want: "k1", calls: 1}, {give: "k2", invalidate: "k1", want: "k2", calls: 2},
			{give: "k3", invalidate: "k2", want: "k3", calls: 3},
		}, 3},
		{"nothing to invalidate yet", []event{{give: "k1", invalidate: "k1", want: "k1", calls: 1}}, 1},
		{"a source that panics fails", []event{{give: "panic", want: "-", calls: 1}, {after: s, give: "k1", want: "k1", calls: 2}}, 2},
		{"an incomplete AccessKey", []event{{give: "", want: "-", calls: 1}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := newClock()
			src := &source{}
			operator := newOperator(src, clock)
			for i, e := range c.events {
				clock.SetTime(clock.Now().Add(e.after))
				if e.give == "-" {
					src.give("", errSource)
				} else if e.give != "" {
					src.give(e.give, nil)
				}
				operator.Invalidate(e.invalidate)
				keys, err := operator.Credentials(context.Background())
				got := keys.AccessKeyID
				if err != nil {
					got = "-"
					checkError(t, err)
				}
				if calls, _ := src.counts(); got != e.want || calls != e.calls {
					t.Fatalf("event %d: got %s after %d fetches, want %s after %d", i, got, calls, e.want, e.calls)
				}
			}
			if _, built := src.counts(); built != c.built {
				t.Errorf("the source was made %d times, want %d", built, c.built)
			}
		})
	}
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var unavailable *identity.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.NextStep == "" || unavailable.Class == "" || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}

func TestHangingSource(t *testing.T) {
	clock := newClock()
	s := &source{id: "k1", entered: make(chan struct{}, 9), hold: make(chan struct{})}
	operator := identity.NewOperator(identity.Options{NewFetch: s.newFetch, Clock: clock, Timeout: 20 * time.Millisecond})
	for range 3 {
		_, err := operator.Credentials(context.Background())
		checkError(t, err)
		clock.SetTime(clock.Now().Add(time.Minute))
	}
	if calls, _ := s.counts(); calls != 1 {
		t.Errorf("%d fetches hang, want 1", calls)
	}
	close(s.hold)
	keys, err := identity.NewOperator(identity.Options{NewFetch: s.newFetch, Clock: clock}).Credentials(context.Background())
	if err != nil || keys.AccessKeyID != "k1" {
		t.Errorf("got %v", err)
	}
}

func TestHangingSourceKeepsItsLastCredentials(t *testing.T) {
	clock := newClock()
	s := &source{id: "k1"}
	operator := identity.NewOperator(identity.Options{NewFetch: s.newFetch, Clock: clock, Timeout: 20 * time.Millisecond})
	if _, err := operator.Credentials(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.hold = make(chan struct{})
	s.mu.Unlock()
	defer close(s.hold)
	clock.SetTime(clock.Now().Add(time.Hour))
	if keys, err := operator.Credentials(context.Background()); err != nil || keys.AccessKeyID != "k1" {
		t.Errorf("got %v", err)
	}
}

func TestCancelingIsNoFailure(t *testing.T) {
	s := &source{id: "k1", entered: make(chan struct{}, 1), hold: make(chan struct{})}
	operator := newOperator(s, newClock())
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() { _, err := operator.Credentials(ctx); failed <- err }()
	<-s.entered
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(s.hold)
	if _, err := operator.Credentials(context.Background()); err != nil {
		t.Errorf("the next gets %v", err)
	}
}

// Credentials that a source cached before STS called them stale are not used again.
func TestInvalidateDuringAFetch(t *testing.T) {
	clock := newClock()
	s := &source{id: "k1"}
	operator := newOperator(s, clock)
	if _, err := operator.Credentials(context.Background()); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	s.mu.Lock()
	s.entered, s.hold = make(chan struct{}, 2), hold
	s.mu.Unlock()
	clock.SetTime(clock.Now().Add(time.Hour))
	got := make(chan string)
	go func() { keys, _ := operator.Credentials(context.Background()); got <- keys.AccessKeyID }()
	<-s.entered
	s.give("k2", nil)
	operator.Invalidate("k1")
	close(hold)
	if id := <-got; id != "k2" {
		t.Errorf("got %s, want k2", id)
	}
}

func TestOperatorPrintsNoCredentials(t *testing.T) {
	operator := newOperator(&source{id: "hushID"}, newClock())
	if _, err := operator.Credentials(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, operator); strings.Contains(text, "hush") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
