// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package eventrecorder writes events at once, within the reconcile that records them. So events of a namespace use only that
// namespace's share of the workers, and the events of the last reconciles are written before the process exits. client-go's
// recorder has one queue for all namespaces, loses what is queued at the end, and needs the permission to patch events.
package eventrecorder

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// An object has Burst events at once, and then one in each Every. More are dropped, because its conditions report the same.
// client-go's recorder has the same burst and a lower rate.
const (
	Burst = 25
	Every = time.Minute
)

const (
	// timeout is the timeout for writing an event: short, because the reconcile waits.
	timeout = 2 * time.Second
	// pause is how long no event is written after a timeout: reconciles must not wait for an API server that stores no events.
	pause = 30 * time.Second
	// maxNote is the limit of the API, in bytes.
	maxNote = 1024
	// MaxMessage is the maximum length of a message for a condition and an event, in bytes.
	MaxMessage = 900
)

// Options are the options of a Recorder. All are required.
type Options struct {
	// Client creates events.
	Client client.Client
	// Controller and Instance are the reporting controller and instance of the events.
	Controller, Instance string
	// Clock is the local clock.
	Clock clock.PassiveClock
	// Log logs events that cannot be written.
	Log logr.Logger
}

// Recorder is an events.EventRecorder. It is safe for concurrent use.
type Recorder struct {
	Options
	buckets *ratelimit.Buckets[types.NamespacedName]
	number  atomic.Uint64
	resume  atomic.Int64 // when events are written again after a timeout, in Unix seconds
}

// New returns a Recorder.
func New(o Options) *Recorder {
	return &Recorder{Options: o, buckets: ratelimit.NewBuckets[types.NamespacedName](Every, Burst, o.Clock)}
}

// Eventf writes an event, unless the object has too many, or a write timed out shortly before. It takes at most two seconds. If
// it fails, the event is lost: conditions report the same.
func (r *Recorder) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	about, err := reference.GetReference(r.Client.Scheme(), regarding)
	if err != nil {
		r.Log.Error(err, "Failed to record an event: the object has no reference", "reason", reason)
		return
	}
	now := r.Clock.Now()
	if now.Unix() < r.resume.Load() {
		return
	}
	if r.buckets.TryAcquire(types.NamespacedName{Namespace: about.Namespace, Name: about.Name}) > 0 {
		return
	}
	var other *corev1.ObjectReference
	if related != nil {
		other, _ = reference.GetReference(r.Client.Scheme(), related) // nil on failure
	}
	namespace := about.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := r.Client.Create(ctx, &eventsv1.Event{
		// The time makes the name unique among processes, the number within this one.
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x.%x", nameOf(about.Name), now.UnixNano(), r.number.Add(1))},
		EventTime:  metav1.NewMicroTime(now), ReportingController: r.Controller, ReportingInstance: r.Instance,
		Regarding: *about, Related: other, Type: severity, Reason: reason, Action: action, Note: short(fmt.Sprintf(note, args...), maxNote),
	}); err != nil {
		if ctx.Err() != nil {
			r.resume.Store(now.Add(pause).Unix())
		}
		r.Log.Info("Failed to write an event", "namespace", namespace, "name", about.Name, "reason", reason, "error", err.Error())
	}
}

// Bounded returns a message, truncated to MaxMessage.
func Bounded(message string) string {
	if len(message) > MaxMessage {
		return short(message, MaxMessage) + "…"
	}
	return message
}

// short truncates a text to a number of bytes.
func short(text string, limit int) string {
	return strings.ToValidUTF8(text[:min(len(text), limit)], "")
}

// nameOf returns the start of the name of an event: the object's name, truncated so that it ends in a letter or a digit, as
// each part of a DNS subdomain must.
func nameOf(object string) string {
	const length = 200
	return strings.TrimRight(object[:min(len(object), length)], "-.")
}
