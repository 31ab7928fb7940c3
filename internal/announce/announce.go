// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package announce writes events, and lets what is more urgent go first: in a rush, credentials are written before events
// tell of them. It remembers nothing of an event once it is written.
package announce

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

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
	// patience is how long what is more urgent may hold up an event that is no warning.
	patience = time.Minute
	// glance is how often to look whether something still is.
	glance = 50 * time.Millisecond
	// capacity is how many events wait at most, of warnings and of others; more are lost. One namespace has half of it.
	capacity = 20000
	// writers write events at a time, of warnings and of others.
	writers = 4
	// farewell is how long writing goes on when the process ends: longer than work that is under way then, of which there is
	// still something to tell.
	farewell = 28 * time.Second
	// maxNote is the API's bound, in bytes.
	maxNote = 1024
)

// Options say what a Recorder needs. All are required.
type Options struct {
	// Client creates events.
	Client client.Client
	// Controller and Instance are who reports them.
	Controller, Instance string
	// Urgent tells whether there is something more urgent to do than to tell.
	Urgent func() bool
	// Clock is the local clock.
	Clock clock.Clock
	// Log is told of what cannot be written.
	Log logr.Logger
}

// Recorder is an events.EventRecorder. It is safe for concurrent use.
type Recorder struct {
	Options
	warnings, others *backlog
	number           atomic.Uint64
}

// backlog holds the events that wait to be written. One namespace may have as many in it as it leaves free for the others:
// half of it while it is alone.
type backlog struct {
	events  chan *told
	mu      sync.Mutex
	waiting map[string]int // by namespace
}

func newBacklog() *backlog {
	return &backlog{events: make(chan *told, capacity), waiting: map[string]int{}}
}

// put reports whether there is room for an event, and then takes it in.
func (b *backlog) put(e *told) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	namespace := e.regarding.Namespace
	if b.waiting[namespace] >= cap(b.events)-len(b.events) {
		return false
	}
	b.waiting[namespace]++
	b.events <- e // there is room, and nobody else puts
	return true
}

// taken makes room for another event of the namespace of e.
func (b *backlog) taken(e *told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	namespace := e.regarding.Namespace
	if b.waiting[namespace]--; b.waiting[namespace] == 0 {
		delete(b.waiting, namespace)
	}
}

// told is an event that waits to be written.
type told struct {
	at                             time.Time
	regarding, related             *corev1.ObjectReference
	severity, reason, action, note string
}

// New makes a Recorder, which writes once it is started.
func New(o Options) *Recorder {
	return &Recorder{Options: o, warnings: newBacklog(), others: newBacklog()}
}

// Eventf puts an event in the queue of those to be written. It never waits.
func (r *Recorder) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	about, err := reference.GetReference(r.Client.Scheme(), regarding)
	if err != nil {
		r.Log.Error(err, "an event is about an object that cannot be named", "reason", reason)
		return
	}
	e := &told{at: r.Clock.Now(), regarding: about, severity: severity, reason: reason, action: action, note: short(fmt.Sprintf(note, args...))}
	if related != nil {
		e.related, _ = reference.GetReference(r.Client.Scheme(), related) // left out if it cannot be named
	}
	queue := r.others
	if severity == corev1.EventTypeWarning {
		queue = r.warnings
	}
	if !queue.put(e) {
		r.Log.Info("an event is lost: too many wait to be written", "namespace", about.Namespace, "name", about.Name, "reason", reason)
	}
}

// short is a note within the API's bound.
func short(note string) string {
	if len(note) <= maxNote {
		return note
	}
	end := maxNote
	for end > 0 && !utf8.RuneStart(note[end]) {
		end--
	}
	return note[:end]
}

// Start writes events until ctx ends, and then, for some seconds, those that still wait and those that come while something
// is urgent. Implements manager.Runnable.
func (r *Recorder) Start(ctx context.Context) error {
	done := make(chan struct{})
	for range writers {
		go r.write(ctx, r.warnings, func() bool { return false }, done)
		go r.write(ctx, r.others, r.Urgent, done)
	}
	for range 2 * writers {
		<-done
	}
	return nil
}

// write writes what comes out of the queue.
func (r *Recorder) write(ctx context.Context, queue *backlog, urgent func() bool, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	for {
		select {
		case e := <-queue.events:
			queue.taken(e)
			r.giveWay(ctx, e, urgent)
			r.create(ctx, e)
		case <-ctx.Done():
			r.flush(ctx, queue)
			return
		}
	}
}

// giveWay waits while something is urgent, but not for too long.
func (r *Recorder) giveWay(ctx context.Context, e *told, urgent func() bool) {
	for urgent() && r.Clock.Since(e.at) < patience {
		select {
		case <-r.Clock.After(glance):
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what waits when the process ends, and what comes until nothing urgent is under way any more.
func (r *Recorder) flush(ctx context.Context, queue *backlog) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for ctx.Err() == nil {
		urgent := r.Urgent() // before the queue is looked at: what tells of it is in the queue once it is over
		select {
		case e := <-queue.events:
			queue.taken(e)
			r.create(ctx, e)
			continue
		default:
		}
		if !urgent {
			return
		}
		select {
		case e := <-queue.events:
			queue.taken(e)
			r.create(ctx, e)
		case <-r.Clock.After(glance):
		case <-ctx.Done():
		}
	}
}

// create writes one event. Where that fails it is lost: conditions tell the same for longer.
func (r *Recorder) create(ctx context.Context, e *told) {
	namespace := e.regarding.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	if ctx.Err() != nil { // it was taken from the queue when the process ended
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
	}
	err := r.Client.Create(ctx, &eventsv1.Event{
		// Unique among processes by the time, within this one by the number.
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x.%x", nameOf(e.regarding.Name), e.at.UnixNano(), r.number.Add(1))},
		EventTime:  metav1.NewMicroTime(e.at), ReportingController: r.Controller, ReportingInstance: r.Instance,
		Regarding: *e.regarding, Related: e.related, Type: e.severity, Reason: e.reason, Action: e.action, Note: e.note,
	})
	if err != nil {
		r.Log.Info("an event was not written", "namespace", namespace, "name", e.regarding.Name, "reason", e.reason, "error", err.Error())
	}
}

// nameOf starts the name of an event: as much of the object's name as leaves room for what follows. What is cut off ends in
// a letter or a digit, as each part of a DNS subdomain does.
func nameOf(object string) string {
	const length = 200
	return strings.TrimRight(object[:min(len(object), length)], "-.")
}
