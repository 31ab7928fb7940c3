// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// testWorkers is how many reconciles the manager of a test runs at once.
const testWorkers = 4

// manage runs the world's operator as a manager does, woken by events alone. It ends with the test, or by stop.
func (w *world) manage(change ...func(*ctrl.Options)) (mgr ctrl.Manager, stop func()) {
	w.Helper()
	options, err := CacheOptions([]string{w.namespace}, labels.Everything())
	w.must(err)
	managed := ctrl.Options{Scheme: scheme, Cache: options, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)}}
	for _, f := range change {
		f(&managed)
	}
	mgr, err = ctrl.NewManager(config, managed)
	w.must(err)
	w.Client, w.Live = mgr.GetClient(), mgr.GetAPIReader()
	w.must(w.SetupWithManager(w.ctx, mgr, testWorkers))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() {
		over := make(chan struct{})
		go func() { // calls that hang end with the drain timeout, which is measured by the test's clock
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
					w.clock.Step(drain.Timeout)
				}
			}
		}()
		stop()
		close(over)
	})
	return mgr, stop
}

// become polls until a condition holds.
func (w *world) become(c *v1alpha1.StsCredential, kind string, status metav1.ConditionStatus, reason string) {
	w.Helper()
	w.eventually(kind+" becomes "+string(status)+" "+reason, func(ctx context.Context) bool {
		if api.Get(ctx, client.ObjectKeyFromObject(c), c) != nil {
			return false
		}
		got := meta.FindStatusCondition(c.Status.Conditions, kind)
		if status == "" {
			return got == nil
		}
		return got != nil && got.Status == status && got.Reason == reason
	})
}

// Each event that should wake the controller does: nothing here waits for a retry.
func TestEventsWakeTheController(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	w.manage()
	c := w.credential("orders")
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted)
	w.grant(nil)
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	first := w.wantWorking("orders")

	w.must(api.Delete(w.ctx, w.secret("orders")))
	w.eventually("a deleted Secret is restored", func(context.Context) bool { return w.secret("orders") != nil })
	if w.wantWorking("orders") == first {
		t.Error("the restored Secret holds the old triple")
	}
	w.become(w.credential("bare"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	w.editSecret("bare", func(s *corev1.Secret) { s.Labels = nil })
	w.eventually("a stripped label comes back", func(context.Context) bool { return w.secret("bare").Labels[secret.UIDLabel] != "" })
	calls := w.calls()
	w.edit(c, func(c *v1alpha1.StsCredential) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, "now")
	})
	w.eventually("a requested renewal is made", func(context.Context) bool { return w.calls() == calls+1 })

	w.grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Namespaces = v1alpha1.GrantNamespaces{Selector: &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}
	})
	w.become(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted)
	namespace := &corev1.Namespace{}
	w.must(api.Get(w.ctx, types.NamespacedName{Name: w.namespace}, namespace))
	namespace.Labels["team"] = "shop"
	w.must(api.Update(w.ctx, namespace))
	w.become(c, v1alpha1.ConditionRenewalFailing, "", "")
	w.wantCalls(calls + 1)
}

// When the local clock turns out to be wrong, what was planned by it is looked at again.
func TestClockWatch(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.manage()
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)

	w.stsClock.Step(50 * time.Minute) // STS's time is due for a renewal; the operator's clock does not know
	w.wantCalls(1)
	other := w.credential("other") // an answer tells
	w.become(other, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	w.eventually("the first credential is renewed", func(context.Context) bool {
		w.clock.Step(clockInterval)
		w.stsClock.Step(clockInterval)
		return w.calls() == 3
	})
}
