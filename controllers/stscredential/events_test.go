// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/eventlimit"
)

// A user who makes a condition change with each edit gets a bounded number of events, and others get theirs.
func TestThreatEventsWithoutEnd(t *testing.T) {
	w := newWorld(t)
	w.Events = eventlimit.New(w.events, w.clock)
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	for i := range 2 * eventlimit.Burst {
		suspended, asked := i%2 == 0, role
		if !suspended {
			asked += "-of-others"
		}
		w.must(user.Patch(w.ctx, c, merge(fmt.Sprintf(`{"spec":{"suspend":%t,"roleARN":%q}}`, suspended, asked))))
		w.pass(c)
	}
	if told := w.told(); len(told) != eventlimit.Burst {
		t.Errorf("%d events while time stood still, want %d", len(told), eventlimit.Burst)
	}
	other := w.credential("other", func(c *v1alpha1.StsCredential) { c.Spec.RoleARN += "-of-others" })
	w.pass(other)
	if told := w.told(); len(told) != 1 {
		t.Errorf("another object has events %v", told)
	}
	w.step(5 * eventlimit.Every)
	for range 10 {
		w.Events.Eventf(c, nil, corev1.EventTypeNormal, "Reason", "Action", "note")
	}
	if told := w.told(); len(told) != 5 {
		t.Errorf("%d events after five intervals, want 5", len(told))
	}
}
