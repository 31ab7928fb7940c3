// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// idleWait is how long to wait for a notification while no call waits for the budget.
const idleWait = time.Minute

// dueCalls queues credentials whose call to STS the budget has admitted, before the others of their namespaces: the call is
// reserved for them meanwhile. It also queues those that are to be renewed early.
type dueCalls struct {
	budget   *ratelimit.Budget
	early    *renewal.Early
	clock    clock.WithTicker
	requests *fairqueue.Queue
}

// Start implements source.Source.
func (d *dueCalls) Start(ctx context.Context, _ queue) error {
	go d.run(ctx)
	return nil
}

// run sleeps from call to call until ctx ends.
func (d *dueCalls) run(ctx context.Context) {
	for {
		names, next := d.budget.Admitted()
		for _, name := range names {
			d.requests.AddFirst(reconcile.Request{NamespacedName: name})
		}
		if next == 0 {
			next = idleWait
		}
		timer := d.clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-d.budget.Notify():
		case key := <-d.early.Requests():
			d.requests.Add(reconcile.Request{NamespacedName: key})
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}
