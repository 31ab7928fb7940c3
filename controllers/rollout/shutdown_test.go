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

	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// A restart that is running when the process ends is finished, with its event; no reconcile begins after that.
func TestShutdownFinishesARestart(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.Step(halfway)
	env.reconcileWith(env.issuer, c)
	env.WaitForCache(c)
	env.RecordedEvents()

	ctx, stop := context.WithCancel(env.Context())
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Patch: func(ctx context.Context, cl client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
				stop()
			}
			return cl.Patch(ctx, o, p, opts...)
		},
	})
	_, err := env.Reconcile(ctx, requestFor(c))
	env.Must(err)
	if ctx.Err() == nil {
		t.Fatal("no workload was restarted")
	}
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	env.wantRestartAnnotations("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
	if recorded := env.RecordedEvents(); len(recorded) != 1 || !strings.Contains(recorded[0], "Restarted Deployment env is restarted") {
		t.Errorf("events %q", recorded)
	}
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	before := c.ResourceVersion
	_, err = env.Reconcile(ctx, requestFor(c))
	env.Must(err)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	if c.ResourceVersion != before || len(env.RecordedEvents()) != 0 {
		t.Error("a reconcile began after the process was to end")
	}
}

// requestsNow collects what a handler queues at once.
type requestsNow struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	got []string
}

func (q *requestsNow) Add(request reconcile.Request) { q.got = append(q.got, request.Name) }

// When the deletion of a namespace begins, its StsCredentials are reconciled.
func TestDeletionOfANamespaceQueues(t *testing.T) {
	env := newEnvironment(t)
	env.WaitForCache(env.CreateCredential("orders"))
	env.WaitForCache(env.CreateCredential("payments"))
	was := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace}}
	is := was.DeepCopy()
	is.DeletionTimestamp = &metav1.Time{Time: env.OperatorClock.Now()}
	for _, tt := range []struct {
		name   string
		change event.UpdateEvent
		want   int
	}{
		{"deletion begins", event.UpdateEvent{ObjectOld: was, ObjectNew: is}, 2},
		{"nothing of it", event.UpdateEvent{ObjectOld: is, ObjectNew: is}, 0},
	} {
		q := &requestsNow{}
		watches{env.Client}.namespaceHandler().Update(env.Context(), tt.change, q)
		if len(q.got) != tt.want {
			t.Errorf("%s: %v are reconciled, want %d", tt.name, q.got, tt.want)
		}
	}
}
