// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// One object has eventBurst events at once and then one every eventEvery. More are dropped: the conditions of the object say
// what they would. client-go's own recorder allows as many at once, and then fewer.
const (
	eventBurst = 25
	eventEvery = time.Minute
)

// limitedEvents is an EventRecorder that limits the events of each object.
type limitedEvents struct {
	events.EventRecorder
	buckets *ratelimit.Buckets[types.NamespacedName]
}

// LimitEvents returns a recorder that hands events on to recorder, as many as one object may have.
func LimitEvents(recorder events.EventRecorder, clock clock.PassiveClock) events.EventRecorder {
	return &limitedEvents{recorder, ratelimit.NewBuckets[types.NamespacedName](eventEvery, eventBurst, clock)}
}

// Eventf implements events.EventRecorder. It never waits.
func (l *limitedEvents) Eventf(regarding, related runtime.Object, severity, reason, action, note string, args ...any) {
	if object, err := meta.Accessor(regarding); err == nil {
		if l.buckets.TryTake(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}) > 0 {
			return
		}
	}
	l.EventRecorder.Eventf(regarding, related, severity, reason, action, note, args...)
}
