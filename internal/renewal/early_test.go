// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package renewal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

func TestEarlyRequests(t *testing.T) {
	key := types.NamespacedName{Namespace: "shop", Name: "orders"}
	early := renewal.NewEarly()
	early.Request(t.Context(), key, "first")
	early.Request(t.Context(), key, "first")
	if got := <-early.Requests(); got != key || len(early.Requests()) != 0 {
		t.Errorf("received %v, and %d are left", got, len(early.Requests()))
	}
	for _, tt := range []struct {
		name, requestID string
		want            bool
	}{
		{"the issuance", "first", true},
		{"still the issuance", "first", true},
		{"the next issuance answers it", "second", false},
		{"an answered request is gone", "first", false},
	} {
		if got := early.Requested(key, tt.requestID); got != tt.want {
			t.Errorf("%s: Requested = %v, want %v", tt.name, got, tt.want)
		}
	}
	early.Request(t.Context(), key, "second")
	early.Forget(key)
	if early.Requested(key, "second") {
		t.Error("a deleted object is still requested")
	}
}

// Nobody waits for a receiver beyond the end of a context.
func TestEarlyRequestsEndWithTheContext(t *testing.T) {
	early := renewal.NewEarly()
	for i := range cap(early.Requests()) {
		early.Request(t.Context(), types.NamespacedName{Name: fmt.Sprint(i)}, "first")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	early.Request(ctx, types.NamespacedName{Name: "last"}, "first")
}

func TestDueSoon(t *testing.T) {
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	expires, renews := issued.Add(4*time.Hour), issued.Add(2*time.Hour)
	for after, want := range map[time.Duration]bool{59 * time.Minute: false, time.Hour: true, 3 * time.Hour: true} {
		if got := renewal.DueSoon(issued.Add(after), issued, expires, renews); got != want {
			t.Errorf("after %v: DueSoon = %v, want %v", after, got, want)
		}
	}
}
