// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
)

// neighbour makes another namespace that is granted the role.
func (w *world) neighbour() (namespace string) {
	w.Helper()
	namespace = w.namespace + "-quiet"
	w.must(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	grant := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(namespace)}},
		RoleARNs:   []v1alpha1.RoleARNPattern{role},
	}}
	w.must(api.Create(w.ctx, grant))
	w.Cleanup(func() { _ = api.Delete(context.Background(), grant) })
	return namespace
}

// flood has a user edit credentials as fast as the API server takes it, until stop.
func (w *world) flood(user client.Client, credentials []*v1alpha1.StsCredential) (edits *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	edits = &atomic.Int64{}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				i := edits.Add(1)
				c := credentials[int(i)%len(credentials)].DeepCopy()
				_ = user.Patch(ctx, c, merge(fmt.Sprintf(`{"spec":{"externalID":"id-%d"}}`, i)))
			}
		})
	}
	stop = func() { cancel(); writers.Wait() }
	w.Cleanup(stop)
	return edits, stop
}

// ready counts the credentials of a namespace that are Ready.
func ready(ctx context.Context, namespace string) (n int) {
	var all v1alpha1.StsCredentialList
	if api.List(ctx, &all, client.InNamespace(namespace)) != nil {
		return 0
	}
	for i := range all.Items {
		if meta.IsStatusConditionTrue(all.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
			n++
		}
	}
	return n
}

// The operator is restarted while a user edits all credentials of a namespace all the time, and what it writes there takes
// long. The credentials of another namespace are issued all the same, and the edits cost a bounded number of writes.
func TestThreatEditsWithoutEndKeepNobodyWaiting(t *testing.T) {
	const objects = 40
	for _, tt := range []struct {
		name string
		slow time.Duration // each write of a status in the user's namespace
		qps  float32       // of the operator's client, as with --kube-api-qps
	}{
		{name: "writes in the namespace are slow", slow: 50 * time.Millisecond},
		{name: "the client-side limit is low", qps: 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			quiet := w.neighbour()
			user := w.user("edit")
			var hostile []*v1alpha1.StsCredential
			for i := range objects {
				hostile = append(hostile, w.credential(fmt.Sprint("hostile-", i), func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true }))
				w.credential(fmt.Sprint("orders-", i), func(c *v1alpha1.StsCredential) { c.Namespace = quiet })
			}
			edits, stop := w.flood(user, hostile)
			w.eventually("each has been edited", func(context.Context) bool { return edits.Load() > 2*objects })

			began := time.Now()
			writes := w.manageTwo(quiet, func() { time.Sleep(tt.slow) }, tt.qps)
			w.eventually("all credentials of the other namespace are Ready", func(ctx context.Context) bool { return ready(ctx, quiet) == objects })
			if got := writes.Load(); got > 5*objects {
				t.Errorf("%d writes for edits came before %d others", got, objects)
			}
			w.eventually("there were more edits than may be followed", func(context.Context) bool { return edits.Load() > 30*objects })
			stop()
			most := objects * (fairqueue.ReconcileBurst + 2 + int64(time.Since(began)/fairqueue.ReconcileEvery))
			if got := writes.Load(); got == 0 || got > most {
				t.Errorf("%d writes of the status after %d edits, want at most %d", got, edits.Load(), most)
			}
		})
	}
}

// Writes in a user's namespace hang, as behind a webhook that they have there: that takes half of the workers at most.
func TestThreatWritesThatHangKeepNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	quiet := w.neighbour()
	hang := make(chan struct{})
	writes := w.manageTwo(quiet, func() { <-hang }, 0)
	w.Cleanup(func() { close(hang) })
	for i := range 8 {
		w.credential(fmt.Sprint("hostile-", i), func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	}
	w.eventually("writes hang", func(context.Context) bool { return writes.Load() >= testWorkers/2 })
	for i := range 8 {
		w.credential(fmt.Sprint("orders-", i), func(c *v1alpha1.StsCredential) { c.Namespace = quiet })
	}
	w.eventually("all credentials of the other namespace are Ready", func(ctx context.Context) bool { return ready(ctx, quiet) == 8 })
	if got := writes.Load(); got != testWorkers/2 {
		t.Errorf("%d of %d workers hang", got, testWorkers)
	}
}

// manageTwo runs the operator in the world's namespace and another, and counts the writes of statuses in the former. Each of
// them calls slow first.
func (w *world) manageTwo(other string, slow func(), qps float32) *atomic.Int64 {
	writes := &atomic.Int64{}
	w.manage(func(o *ctrl.Options) {
		cache, err := CacheOptions([]string{w.namespace, other}, labels.Everything())
		w.must(err)
		o.Cache = cache
		o.NewClient = func(config *rest.Config, options client.Options) (client.Client, error) {
			config = rest.CopyConfig(config)
			if qps > 0 {
				config.QPS, config.Burst = qps, 1
			}
			c, err := client.New(config, options)
			return interceptor.NewClient(cachedWithWatch{c}, interceptor.Funcs{
				SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
					if o.GetNamespace() == w.namespace {
						writes.Add(1)
						slow()
					}
					return c.SubResource(sub).Update(ctx, o, opts...)
				},
			}), err
		}
	})
	return writes
}
