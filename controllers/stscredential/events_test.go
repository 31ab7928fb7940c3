// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
)

// A user who makes a condition change with each edit gets a bounded number of events, and others get theirs.
func TestThreatEventsWithoutEnd(t *testing.T) {
	env := newEnvironment(t)
	env.Events = eventrecorder.New(eventrecorder.Options{
		Client: api, Controller: "operator", Instance: "operator-1", Clock: env.OperatorClock, Log: logr.Discard(),
	})
	written := func() int {
		events := &eventsv1.EventList{}
		env.Must(api.List(env.Context(), events, client.InNamespace(env.Namespace)))
		return len(events.Items)
	}
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	for i := range 2 * eventrecorder.Burst {
		suspended, asked := i%2 == 0, role
		if !suspended {
			asked += "-of-others"
		}
		env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"spec":{"suspend":%t,"roleARN":%q}}`, suspended, asked))))
		env.reconcile(c)
	}
	if n := written(); n != eventrecorder.Burst {
		t.Errorf("%d events while time stood still, want %d", n, eventrecorder.Burst)
	}
	other := env.CreateCredential("other", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN += "-of-others" })
	env.reconcile(other)
	if n := written() - eventrecorder.Burst; n != 1 {
		t.Errorf("another object has %d events, want 1", n)
	}
	env.Step(5 * eventrecorder.Every)
	for range 10 {
		env.Events.Eventf(c, nil, corev1.EventTypeNormal, "Reason", "Action", "note")
	}
	if n := written() - eventrecorder.Burst - 1; n != 5 {
		t.Errorf("%d events after five intervals, want 5", n)
	}
}
