// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package eventrecorder records events. Unlike client-go's recorder it needs only the permission to create events, its queue
// is shared fairly by namespaces, and it writes the queued events before the process exits.
package eventrecorder

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// capacity is the maximum number of queued events; more are dropped. A single namespace can have half of them.
	capacity = 20000
	// writers is the number of events that are written concurrently.
	writers = 4
	// createTimeout is the timeout for writing an event.
	createTimeout = 10 * time.Second
	// maxNote is the limit of the API, in bytes.
	maxNote = 1024
)

// CloseTimeout is the longest time that Recorder.Close takes.
const CloseTimeout = 3 * time.Second

// Options are the options of a Recorder. All are required.
type Options struct {
	// Client creates events.
	Client client.Client
	// Controller and Instance are the reporting controller and instance of the events.
	Controller, Instance string
	// Clock is the local clock.
	Clock clock.Clock
	// Log logs events that cannot be written.
	Log logr.Logger
}

// Recorder is an events.EventRecorder. It is safe for concurrent use.
type Recorder struct {
	Options
	queue   *queue
	number  atomic.Uint64
	writing sync.WaitGroup
}

// queue holds the events to write. A namespace has no more events in it than it leaves free: half of it if it is alone.
type queue struct {
	events  chan *event
	mu      sync.Mutex
	waiting map[string]int // by namespace
	closed  bool
}

func newQueue() *queue {
	return &queue{events: make(chan *event, capacity), waiting: map[string]int{}}
}

// add adds an event; it returns false if there is no room, or the queue is closed.
func (q *queue) add(e *event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	namespace := e.regarding.Namespace
	if q.closed || q.waiting[namespace] >= cap(q.events)-len(q.events) {
		return false
	}
	q.waiting[namespace]++
	q.events <- e // does not block: there is room, and the lock is held
	return true
}

// removed makes room for another event of the namespace of e.
func (q *queue) removed(e *event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	namespace := e.regarding.Namespace
	if q.waiting[namespace]--; q.waiting[namespace] == 0 {
		delete(q.waiting, namespace)
	}
}

// close ends the queue: events that are queued can still be read.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.events)
	}
}

// event is an event to write.
type event struct {
	at                             time.Time
	regarding, related             *corev1.ObjectReference
	severity, reason, action, note string
}

// New returns a Recorder, which writes events until Close is called.
func New(o Options) *Recorder {
	r := &Recorder{Options: o, queue: newQueue()}
	for range writers {
		r.writing.Go(func() {
			for e := range r.queue.events {
				r.create(e)
			}
		})
	}
	return r
}

// Close writes the queued events, for at most CloseTimeout. Call it when all reconciles have ended: later events are dropped.
func (r *Recorder) Close() {
	r.queue.close()
	written := make(chan struct{})
	go func() {
		r.writing.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-r.Clock.After(CloseTimeout):
	}
}

// Eventf queues an event. It never blocks.
func (r *Recorder) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	about, err := reference.GetReference(r.Client.Scheme(), regarding)
	if err != nil {
		r.Log.Error(err, "Failed to record an event: the object has no reference", "reason", reason)
		return
	}
	e := &event{at: r.Clock.Now(), regarding: about, severity: severity, reason: reason, action: action, note: short(fmt.Sprintf(note, args...))}
	if related != nil {
		e.related, _ = reference.GetReference(r.Client.Scheme(), related) // nil on failure
	}
	if !r.queue.add(e) {
		r.Log.Info("Dropped an event: too many are queued, or the operator ends", "namespace", about.Namespace, "name", about.Name, "reason", reason)
	}
}

// short truncates a note to the limit of the API.
func short(note string) string { return strings.ToValidUTF8(note[:min(len(note), maxNote)], "") }

// create writes an event that was read from the queue. If that fails, the event is lost: conditions report the same.
func (r *Recorder) create(e *event) {
	r.queue.removed(e)
	namespace := e.regarding.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	ctx, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	err := r.Client.Create(ctx, &eventsv1.Event{
		// The time makes the name unique among processes, the number within this one.
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x.%x", nameOf(e.regarding.Name), e.at.UnixNano(), r.number.Add(1))},
		EventTime:  metav1.NewMicroTime(e.at), ReportingController: r.Controller, ReportingInstance: r.Instance,
		Regarding: *e.regarding, Related: e.related, Type: e.severity, Reason: e.reason, Action: e.action, Note: e.note,
	})
	if err != nil {
		r.Log.Info("Failed to write an event", "namespace", namespace, "name", e.regarding.Name, "reason", e.reason, "error", err.Error())
	}
}

// nameOf returns the start of the name of an event: the object's name, truncated so that it ends in a letter or a digit, as
// each part of a DNS subdomain must.
func nameOf(object string) string {
	const length = 200
	return strings.TrimRight(object[:min(len(object), length)], "-.")
}
