// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// What is no longer expired takes no memory, and still counts.
func TestExpiredSecondsKeepOnlyTheExpired(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}
	c.Status.ExpiresAt = &metav1.Time{Time: now.Add(-time.Minute)}
	var e ExpiredSeconds
	e.Reconciled(c, time.Time{}, now)
	if got := e.seconds(now); got != 60 {
		t.Errorf("%v seconds while it is expired, want 60", got)
	}
	e.Over(client.ObjectKeyFromObject(c), now.Add(time.Minute))
	if n := len(e.since); n != 0 {
		t.Errorf("%d are kept", n)
	}
	if got := e.seconds(now.Add(time.Hour)); got != 120 {
		t.Errorf("%v seconds in the end, want 120", got)
	}
}

// A Secret that is taken over or restored with expired credentials counts from then on.
func TestTimeBeforeTheStartDoesNotCount(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &v1alpha1.StsCredential{}
	var e ExpiredSeconds
	e.Reconciling(c, true, now)
	c.Status.ExpiresAt = &metav1.Time{Time: now.Add(-time.Hour)}
	e.Reconciled(c, now, now.Add(2*time.Second))
	e.Reconciling(c, true, now.Add(5*time.Second))
	if got := e.seconds(now.Add(7 * time.Second)); got != 7 {
		t.Errorf("%v s, want 7", got)
	}
}
