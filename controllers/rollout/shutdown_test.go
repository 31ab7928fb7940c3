// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A restart under way when the process is asked to end is finished, with its event; nothing is begun after that.
func TestShutdownFinishesARestart(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.step(halfway)
	w.reconcile(w.issuer, c)
	w.catchUp(c)
	w.told()

	ctx, stop := context.WithCancel(w.ctx)
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
				stop()
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	_, err := w.Reconcile(ctx, requestFor(c))
	w.must(err)
	if ctx.Err() == nil {
		t.Fatal("no workload was restarted")
	}
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	w.wantStamps("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
	if told := w.told(); len(told) != 1 || !strings.Contains(told[0], "Restarted Deployment env is restarted") {
		t.Errorf("events %q", told)
	}
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	before := c.ResourceVersion
	_, err = w.Reconcile(ctx, requestFor(c))
	w.must(err)
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	if c.ResourceVersion != before || len(w.told()) != 0 {
		t.Error("something was begun after the process was asked to end")
	}
}

// requestsNow collects what a handler queues at once.
type requestsNow struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	got []string
}

func (q *requestsNow) Add(request reconcile.Request) { q.got = append(q.got, request.Name) }

// The beginning of a namespace's deletion is followed: the conditions on restarts end.
func TestDeletionOfANamespaceIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.catchUp(w.credential("orders"))
	w.catchUp(w.credential("payments"))
	was := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	is := was.DeepCopy()
	is.DeletionTimestamp = &metav1.Time{Time: w.clock.Now()}
	for _, tt := range []struct {
		name   string
		change event.UpdateEvent
		want   int
	}{
		{"deletion begins", event.UpdateEvent{ObjectOld: was, ObjectNew: is}, 2},
		{"nothing of it", event.UpdateEvent{ObjectOld: is, ObjectNew: is}, 0},
	} {
		q := &requestsNow{}
		w.namespaceHandler().Update(w.ctx, tt.change, q)
		if len(q.got) != tt.want {
			t.Errorf("%s: %v are reconciled, want %d", tt.name, q.got, tt.want)
		}
	}
}
