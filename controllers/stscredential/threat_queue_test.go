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
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// createOtherNamespace makes another namespace that is granted the role.
func (env *environment) createOtherNamespace() (namespace string) {
	env.Helper()
	namespace = env.Namespace + "-quiet"
	env.Must(api.Create(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	env.CreateUntilEnd(testenv.GrantTo(namespace))
	return namespace
}

// flood has a user edit credentials as fast as the API server takes it, until stop.
func (env *environment) flood(user client.Client, credentials []*v1alpha1.StsCredential) (edits *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(env.Context())
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
	env.Cleanup(stop)
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

// The operator is restarted while a user keeps editing all credentials of a namespace, and its writes there are slow. The
// credentials of another namespace are issued all the same, and the edits cost a bounded number of writes.
func TestThreatEditsWithoutEndKeepNobodyWaiting(t *testing.T) {
	const objects = 40
	for _, tt := range []struct {
		name string
		slow bool    // a write of a status in the user's namespace waits for one in the other namespace
		qps  float32 // of the operator's client, as with --kube-api-qps
	}{
		{name: "writes in the namespace are slow", slow: true},
		{name: "the client-side limit is low", qps: 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			quiet := env.createOtherNamespace()
			user := env.user("edit")
			var hostile []*v1alpha1.StsCredential
			for i := range objects {
				hostile = append(hostile, env.CreateCredential(fmt.Sprint("hostile-", i), func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true }))
				env.CreateCredential(fmt.Sprint("orders-", i), func(c *v1alpha1.StsCredential) { c.Namespace = quiet })
			}
			edits, stop := env.flood(user, hostile)
			env.Eventually("each has been edited", func(context.Context) bool { return edits.Load() > 2*objects })

			began, other, issued := time.Now(), make(chan struct{}), make(chan struct{})
			writes := env.startManagerOfTwo(quiet, tt.qps, func(namespace string) {
				switch {
				case namespace == quiet:
					select {
					case other <- struct{}{}:
					default: // no write waits
					}
				case tt.slow:
					select {
					case <-other:
					case <-issued:
					}
				}
			})
			release := sync.OnceFunc(func() { close(issued) })
			env.Cleanup(release)
			env.Eventually("all credentials of the other namespace are Ready", func(ctx context.Context) bool { return ready(ctx, quiet) == objects })
			release()
			// With slow writes starvation shows as the timeout above: each write waits for one of the other namespace.
			if got := writes.Load(); got > 5*objects {
				t.Errorf("%d writes for edits came before %d others", got, objects)
			}
			env.Eventually("there were more edits than may be followed", func(context.Context) bool { return edits.Load() > 30*objects })
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
	env := newEnvironment(t)
	quiet := env.createOtherNamespace()
	hang := make(chan struct{})
	writes := env.startManagerOfTwo(quiet, 0, func(namespace string) {
		if namespace != quiet {
			<-hang
		}
	})
	env.Cleanup(func() { close(hang) })
	for i := range 8 {
		env.CreateCredential(fmt.Sprint("hostile-", i), func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	}
	env.Eventually("writes hang", func(context.Context) bool { return writes.Load() >= testWorkers/2 })
	for i := range 8 {
		env.CreateCredential(fmt.Sprint("orders-", i), func(c *v1alpha1.StsCredential) { c.Namespace = quiet })
	}
	env.Eventually("all credentials of the other namespace are Ready", func(ctx context.Context) bool { return ready(ctx, quiet) == 8 })
	if got := writes.Load(); got != testWorkers/2 {
		t.Errorf("%d of %d workers hang", got, testWorkers)
	}
}

// startManagerOfTwo runs the operator in the test's namespace and another one, and counts the writes of statuses in the former.
// beforeWrite is called before each write of a status, with its namespace.
func (env *environment) startManagerOfTwo(other string, qps float32, beforeWrite func(namespace string)) *atomic.Int64 {
	writes := &atomic.Int64{}
	env.startManager(func(o *ctrl.Options) {
		cache, err := CacheOptions([]string{env.Namespace, other}, labels.Everything())
		env.Must(err)
		o.Cache = cache
		o.NewClient = func(config *rest.Config, options client.Options) (client.Client, error) {
			config = rest.CopyConfig(config)
			if qps > 0 {
				config.QPS, config.Burst = qps, 1
			}
			c, err := client.New(config, options)
			return testenv.Intercept(c, interceptor.Funcs{
				SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
					if o.GetNamespace() == env.Namespace {
						writes.Add(1)
					}
					beforeWrite(o.GetNamespace())
					return c.SubResource(sub).Update(ctx, o, opts...)
				},
			}), err
		}
	})
	return writes
}
