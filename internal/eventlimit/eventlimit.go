// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package eventlimit limits the events of each object, and the length of their messages.
package eventlimit

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// One object has Burst events at once and then one every Every. More are dropped: the conditions of the object say
// what they would. client-go's own recorder allows as many at once, and then fewer.
const (
	Burst = 25
	Every = time.Minute
)

// MaxMessage bounds a message that stands in a condition and an event, in bytes: events take 1024.
const MaxMessage = 900

// Bounded returns a message that is cut where it is longer than MaxMessage.
func Bounded(message string) string {
	if len(message) > MaxMessage {
		return strings.ToValidUTF8(message[:MaxMessage], "") + "…"
	}
	return message
}

// recorder is an EventRecorder that limits the events of each object.
type recorder struct {
	events.EventRecorder
	buckets *ratelimit.Buckets[types.NamespacedName]
}

// New returns a recorder that hands events on, as many as one object may have.
func New(to events.EventRecorder, clock clock.PassiveClock) events.EventRecorder {
	return &recorder{to, ratelimit.NewBuckets[types.NamespacedName](Every, Burst, clock)}
}

// Eventf implements events.EventRecorder. It never waits.
func (r *recorder) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	if object, err := meta.Accessor(regarding); err == nil {
		if r.buckets.TryTake(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}) > 0 {
			return
		}
	}
	r.EventRecorder.Eventf(regarding, related, severity, reason, action, note, args...)
}
