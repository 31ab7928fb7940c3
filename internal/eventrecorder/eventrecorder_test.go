// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package eventrecorder_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
)

var _ events.EventRecorder = &eventrecorder.Recorder{}

// sink takes events, in place of an API server.
type sink struct {
	client.Client
	scheme *runtime.Scheme
	got    chan *eventsv1.Event
	fails  bool
	hangs  bool // until the timeout
	tries  int
	wait   time.Duration // the timeout of the last request
}

func (s *sink) Scheme() *runtime.Scheme { return s.scheme }

func (s *sink) Create(ctx context.Context, o client.Object, _ ...client.CreateOption) error {
	if deadline, ok := ctx.Deadline(); ok {
		s.wait = time.Until(deadline)
	}
	s.tries++
	if s.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.fails {
		return errors.New("no")
	}
	s.got <- o.(*eventsv1.Event)
	return nil
}

// environment is a Recorder with its sink and clock.
type environment struct {
	*testing.T
	*sink
	*eventrecorder.Recorder
	clock *clocktesting.FakeClock
}

func start(t *testing.T, log logr.Logger) *environment {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &environment{T: t, sink: &sink{scheme: scheme, got: make(chan *eventsv1.Event, 100)}, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	s.Recorder = eventrecorder.New(eventrecorder.Options{Client: s.sink, Controller: "operator", Instance: "operator-1", Clock: s.clock, Log: log})
	return s
}

func (s *environment) record(severity, note string) {
	s.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "u1"}}, nil, severity, "Issued", "Ready", "%s", note)
}

func (s *environment) next() *eventsv1.Event {
	s.Helper()
	if len(s.got) == 0 {
		s.Fatal("no event is written")
	}
	return <-s.got
}

func TestEventsAreWritten(t *testing.T) {
	s := start(t, logr.Discard())
	s.record(corev1.EventTypeNormal, "all is well")
	e := s.next()
	if e.Namespace != "shop" || !strings.HasPrefix(e.Name, "orders.") || e.Regarding.Kind != "Pod" || e.Regarding.UID != "u1" || e.Note != "all is well" ||
		e.Reason != "Issued" || e.Action != "Ready" || e.Type != corev1.EventTypeNormal || e.ReportingController != "operator" || e.ReportingInstance != "operator-1" ||
		!e.EventTime.Time.Equal(s.clock.Now()) {
		t.Errorf("written is %+v", e)
	}
	s.record(corev1.EventTypeNormal, "all is well")
	if again := s.next(); again.Name == e.Name {
		t.Error("two events have one name")
	}
	s.record(corev1.EventTypeNormal, strings.Repeat("ä", 1000))
	if note := s.next().Note; len(note) != 1024 || strings.Trim(note, "ä") != "" {
		t.Errorf("a note of %d bytes: %q", len(note), note[len(note)-4:])
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("n", 253)}}
	s.Eventf(node, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, corev1.EventTypeNormal, "R", "A", "x")
	if e := s.next(); e.Namespace != "default" || len(e.Name) > 253 || e.Related.Name != "other" {
		t.Errorf("written is %+v", e)
	}
}

// The name of an event is a DNS subdomain, wherever the name of the object is truncated.
func TestEventNamesAreDNSSubdomains(t *testing.T) {
	s := start(t, logr.Discard())
	for _, name := range []string{
		strings.Repeat("n", 199) + "-" + strings.Repeat("n", 53),
		strings.Repeat("n", 199) + "." + strings.Repeat("n", 53),
		strings.Repeat("n", 190) + strings.Repeat("-", 20) + "n",
		strings.Repeat("n.", 100) + "n",
		strings.Repeat("n", 200), "n", strings.Repeat("n", 253),
	} {
		object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		s.Eventf(object, nil, corev1.EventTypeNormal, "Issued", "Ready", "x")
		got := s.next().Name
		if wrong := validation.IsDNS1123Subdomain(got); wrong != nil {
			t.Errorf("the event of an object with a name of %d characters is called %s: %v", len(name), got, wrong)
		}
		if begins, _, _ := strings.Cut(got, "."); !strings.HasPrefix(name, begins) {
			t.Errorf("%s does not begin as %s does", got, name)
		}
	}
}

func TestFailuresAreLogged(t *testing.T) {
	lines := 0
	s := start(t, funcr.New(func(string, string) { lines++ }, funcr.Options{}))
	s.fails = true
	s.record(corev1.EventTypeNormal, "x")
	s.Eventf(&eventsv1.Event{}, nil, corev1.EventTypeNormal, "R", "A", "x") // a kind that is not in the scheme
	if lines != 2 {
		t.Errorf("%d lines are logged, want 2", lines)
	}
}

// The reconcile does not wait for long if the API server does not respond.
func TestWritesHaveATimeout(t *testing.T) {
	s := start(t, logr.Discard())
	s.record(corev1.EventTypeNormal, "x")
	if s.wait <= 0 || s.wait > 2*time.Second {
		t.Errorf("the timeout is %v", s.wait)
	}
}

// Only one reconcile in half a minute waits for an API server that stores no events.
func TestTimeoutPausesEvents(t *testing.T) {
	s := start(t, logr.Discard())
	s.hangs = true
	for range 3 {
		s.record(corev1.EventTypeNormal, "x")
	}
	if s.tries != 1 {
		t.Errorf("%d events are tried, want 1", s.tries)
	}
	s.hangs = false
	s.clock.Step(30 * time.Second)
	s.record(corev1.EventTypeNormal, "after the pause")
	if e := s.next(); e.Note != "after the pause" {
		t.Errorf("the event is %q", e.Note)
	}
}

// An object with too many events loses its own, and no others.
func TestNoNamespaceLosesTheEventsOfOthers(t *testing.T) {
	s := start(t, logr.Discard())
	for range 2 * eventrecorder.Burst {
		s.record(corev1.EventTypeNormal, "x")
	}
	if n := len(s.got); n != eventrecorder.Burst {
		t.Errorf("%d events of one object are written, want %d", n, eventrecorder.Burst)
	}
	s.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "quiet", Name: "orders"}}, nil, corev1.EventTypeNormal, "Issued", "Ready", "x")
	if n := len(s.got); n != eventrecorder.Burst+1 {
		t.Error("the event of another namespace is lost")
	}
	s.clock.Step(eventrecorder.Every)
	s.record(corev1.EventTypeNormal, "x")
	s.record(corev1.EventTypeNormal, "x")
	if n := len(s.got); n != eventrecorder.Burst+2 {
		t.Errorf("%d events are written after an interval, want one more", n-eventrecorder.Burst-1)
	}
}
