// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package renewal

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Early carries requests to renew credentials before they are due, from the controller that restarts workloads to the one
// that renews: a workload that reads several Secrets is then restarted once for all of them. A request is for one issuance,
// and is answered by the next one. Requests are kept in memory alone: if one is lost, a workload is restarted once more.
// Early is safe for concurrent use.
type Early struct {
	mu        sync.Mutex
	requested map[types.NamespacedName]string
	requests  chan types.NamespacedName
}

// NewEarly returns an Early without requests.
func NewEarly() *Early {
	return &Early{requested: map[types.NamespacedName]string{}, requests: make(chan types.NamespacedName, 1024)}
}

// Request requests that an issuance, which STS's request ID identifies, is renewed early. It waits while 1,024 requests have
// not been received, but not longer than ctx.
func (e *Early) Request(ctx context.Context, key types.NamespacedName, requestID string) {
	e.mu.Lock()
	repeated := e.requested[key] == requestID
	e.requested[key] = requestID
	e.mu.Unlock()
	if repeated {
		return
	}
	select {
	case e.requests <- key:
	case <-ctx.Done():
		e.Forget(key) // so that it is requested again
	}
}

// Requests returns the channel from which the names of requested credentials are received, once for each issuance.
func (e *Early) Requests() <-chan types.NamespacedName { return e.requests }

// Requested reports whether an issuance is to be renewed early. A request for another issuance has been answered, and ends.
func (e *Early) Requested(key types.NamespacedName, requestID string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	requested, ok := e.requested[key]
	if ok && requested != requestID {
		delete(e.requested, key)
	}
	return ok && requested == requestID
}

// Forget drops the request for a credential that no longer exists.
func (e *Early) Forget(key types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.requested, key)
}

// DueSoon reports whether credentials are due within a quarter of their life, so that they may be renewed early. All times
// are by STS's clock.
func DueSoon(now, issuedAt, expiresAt, renewAt time.Time) bool {
	return renewAt.Sub(now) <= expiresAt.Sub(issuedAt)/4
}
