// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package eventrecorder_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
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
	fails  atomic.Bool
}

func (s *sink) Scheme() *runtime.Scheme { return s.scheme }

func (s *sink) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	if s.fails.Load() {
		return errors.New("no")
	}
	s.got <- o.(*eventsv1.Event)
	return nil
}

// environment is a running Recorder.
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
	t.Cleanup(s.Close)
	return s
}

func (s *environment) record(severity, note string) {
	s.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "u1"}}, nil, severity, "Issued", "Ready", "%s", note)
}

func (s *environment) next() *eventsv1.Event {
	s.Helper()
	select {
	case e := <-s.got:
		return e
	case <-time.After(10 * time.Second):
		s.Fatal("no event is written")
		return nil
	}
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

// Whatever a name has where it is cut, the event's is one that the API server takes.
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

func (s *environment) await(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			s.Fatal("never: " + what)
		}
		<-time.After(time.Millisecond)
	}
}

// Close writes the queued events. Later ones are dropped, and logged.
func TestCloseWritesQueuedEvents(t *testing.T) {
	lines := make(chan string, 10)
	s := start(t, funcr.New(func(_, line string) { lines <- line }, funcr.Options{}))
	for range 20 {
		s.record(corev1.EventTypeNormal, "x")
	}
	s.Close()
	s.record(corev1.EventTypeWarning, "late")
	s.Close() // has no effect
	if len(s.got) != 20 || len(lines) != 1 {
		t.Errorf("%d events are written and %d lines logged, want 20 and 1", len(s.got), len(lines))
	}
}

// An API server that does not answer does not keep the process from ending.
func TestCloseEndsInTime(t *testing.T) {
	s := start(t, logr.Discard())
	for range 2 * cap(s.got) {
		s.record(corev1.EventTypeNormal, "x")
	}
	s.await("the sink is full", func() bool { return len(s.got) == cap(s.got) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Close()
	}()
	s.await("Close ends", func() bool {
		s.clock.Step(eventrecorder.CloseTimeout)
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	for range 2 * cap(s.got) { // for the writers to end
		s.next()
	}
}

func TestFailuresAreLogged(t *testing.T) {
	lines := make(chan string, 10)
	s := start(t, funcr.New(func(_, line string) { lines <- line }, funcr.Options{}))
	s.fails.Store(true)
	s.record(corev1.EventTypeNormal, "x")
	s.await("the failure is logged", func() bool { return len(lines) == 1 })
	s.Eventf(&eventsv1.Event{}, nil, corev1.EventTypeNormal, "R", "A", "x") // of no kind that the scheme knows
	s.await("that one is, too", func() bool { return len(lines) == 2 })
}

// One namespace that has too many events loses its own, not those of others.
func TestNoNamespaceLosesTheEventsOfOthers(t *testing.T) {
	const many = 25_000
	var lost atomic.Int64
	s := start(t, funcr.New(func(string, string) { lost.Add(1) }, funcr.Options{}))
	for range many {
		s.record(corev1.EventTypeNormal, "x")
	}
	before := lost.Load()
	if before == 0 || before > many*2/3 {
		t.Errorf("%d of %d events are lost", before, many)
	}
	for range 100 {
		s.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "quiet", Name: "orders"}}, nil, corev1.EventTypeNormal, "Issued", "Ready", "x")
	}
	if after := lost.Load(); after != before {
		t.Errorf("%d of another namespace are lost", after-before)
	}
	for range many - before + 100 {
		s.next()
	}
	s.record(corev1.EventTypeNormal, "again")
	if e := s.next(); e.Note != "again" {
		t.Errorf("written is %q", e.Note)
	}
}
