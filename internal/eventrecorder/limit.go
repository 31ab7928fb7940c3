// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package eventrecorder

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

// An object has Burst events at once, and then one in each Every. More are dropped, because its conditions report the same.
// client-go's recorder has the same burst and a lower rate.
const (
	Burst = 25
	Every = time.Minute
)

// MaxMessage is the maximum length of a message for a condition and an event, in bytes. The limit of events is 1024.
const MaxMessage = 900

// Bounded returns a message, truncated to MaxMessage.
func Bounded(message string) string {
	if len(message) > MaxMessage {
		return strings.ToValidUTF8(message[:MaxMessage], "") + "…"
	}
	return message
}

// limited is an EventRecorder that limits the events of each object.
type limited struct {
	events.EventRecorder
	buckets *ratelimit.Buckets[types.NamespacedName]
}

// Limit returns a recorder that passes on as many events as an object may have.
func Limit(to events.EventRecorder, clock clock.PassiveClock) events.EventRecorder {
	return &limited{to, ratelimit.NewBuckets[types.NamespacedName](Every, Burst, clock)}
}

// Eventf implements events.EventRecorder. It never waits.
func (r *limited) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	if object, err := meta.Accessor(regarding); err == nil {
		if r.buckets.TryAcquire(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}) > 0 {
			return
		}
	}
	r.EventRecorder.Eventf(regarding, related, severity, reason, action, note, args...)
}
