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

// ExpiredSeconds sums up the time that credentials spend past their expiry. Reconciles report to it: there is one at each
// expiry, and at each change. It keeps those alone that are expired now. It is safe for concurrent use; the zero value works.
type ExpiredSeconds struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
	past  float64 // seconds of those that are so no more
	last  float64 // what seconds returned last
}

// Reconciling takes in an object as the last reconcile left it. What happened before this process saw it, or
// under another spec, is not counted: another process may have counted that, or it was suspended.
func (e *ExpiredSeconds) Reconciling(c *v1alpha1.StsCredential, seen bool, now time.Time) {
	var from time.Time
	if !seen {
		from = now
	}
	e.Reconciled(c, from, now)
}

// Reconciled takes in an object that has been as it is since from, as far as is known.
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

// Over ends what is counted of an object, if anything is.
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
