// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// ExpiredSeconds counts the seconds during which credentials were expired. Each reconcile updates it; each expiration and
// each change of an object triggers a reconcile. It holds only objects that are expired now. It is safe for concurrent use.
// The zero value is ready to use.
type ExpiredSeconds struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
	past  float64 // total of the expired periods that have ended, in seconds
	last  float64 // what seconds returned last
}

// Reconciling updates the count at the start of a reconcile, from the status that the last reconcile wrote. If known is
// false, time before now is not counted: an earlier leader may have counted it, or the StsCredential was suspended under an
// earlier spec.
func (e *ExpiredSeconds) Reconciling(c *v1alpha1.StsCredential, known bool, now time.Time) {
	var from time.Time
	if !known {
		from = now
	}
	e.Reconciled(c, from, now)
}

// Reconciled updates the count from the current status of an object. Expired time before from is not counted.
func (e *ExpiredSeconds) Reconciled(c *v1alpha1.StsCredential, from, now time.Time) {
	key := client.ObjectKeyFromObject(c)
	expiry := c.Status.ExpiresAt
	if c.Spec.Suspend || expiry == nil || now.Before(expiry.Time) {
		e.Over(key, now)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, counting := e.since[key]; counting {
		return
	}
	if expiry.After(from) {
		from = expiry.Time
	}
	if e.since == nil {
		e.since = map[types.NamespacedName]time.Time{}
	}
	e.since[key] = from
}

// Over ends the expired period of an object, if there is one.
func (e *ExpiredSeconds) Over(key types.NamespacedName, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since, counting := e.since[key]; counting {
		e.past += max(0, now.Sub(since)).Seconds()
		delete(e.since, key)
	}
}

// seconds is the sum until now. It never falls, not even if the clock is set back.
func (e *ExpiredSeconds) seconds(now time.Time) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	sum := e.past
	for _, since := range e.since {
		sum += max(0, now.Sub(since)).Seconds()
	}
	e.last = max(e.last, sum)
	return e.last
}
