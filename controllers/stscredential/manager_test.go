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

// startManager runs the test's operator as a manager does, triggered by events alone. It ends with the test, or by stop.
func (env *environment) startManager(change ...func(*ctrl.Options)) (mgr ctrl.Manager, stop func()) {
	env.Helper()
	options, err := CacheOptions([]string{env.Namespace}, labels.Everything())
	env.Must(err)
	managed := ctrl.Options{Scheme: cluster.Scheme, Cache: options, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)}}
	for _, f := range change {
		f(&managed)
	}
	mgr, err = ctrl.NewManager(cluster.Config, managed)
	env.Must(err)
	env.Client, env.APIReader = mgr.GetClient(), mgr.GetAPIReader()
	env.Must(env.SetupWithManager(env.Context(), mgr, testWorkers))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			env.Error(err)
		}
	})
	env.Cleanup(func() {
		over := make(chan struct{})
		go func() { // calls that hang end with the drain timeout, which is measured by the test's clock
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
					env.OperatorClock.Step(drain.Timeout)
				}
			}
		}()
		stop()
		close(over)
	})
	return mgr, stop
}

// waitForCondition polls until a condition holds.
func (env *environment) waitForCondition(c *v1alpha1.StsCredential, kind string, status metav1.ConditionStatus, reason string) {
	env.Helper()
	env.Eventually(kind+" becomes "+string(status)+" "+reason, func(ctx context.Context) bool {
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

// Each event that should trigger a reconcile does: nothing here waits for a retry.
func TestEventsTriggerReconciles(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	env.startManager()
	c := env.CreateCredential("orders")
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted)
	env.Grant(nil)
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	first := env.wantWorking("orders")

	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.Eventually("a deleted Secret is restored", func(context.Context) bool { return env.Secret("orders") != nil })
	if env.wantWorking("orders") == first {
		t.Error("the restored Secret holds the old credentials")
	}
	env.waitForCondition(env.CreateCredential("bare"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	env.EditSecret("bare", func(s *corev1.Secret) { s.Labels = nil })
	env.Eventually("a stripped label comes back", func(context.Context) bool { return env.Secret("bare").Labels[secret.UIDLabel] != "" })
	calls := env.Calls()
	env.Edit(c, func(c *v1alpha1.StsCredential) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, "now")
	})
	env.Eventually("a requested renewal is made", func(context.Context) bool { return env.Calls() == calls+1 })

	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Namespaces = v1alpha1.GrantNamespaces{Selector: &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}
	})
	env.waitForCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted)
	namespace := &corev1.Namespace{}
	env.Must(api.Get(env.Context(), types.NamespacedName{Name: env.Namespace}, namespace))
	namespace.Labels["team"] = "shop"
	env.Must(api.Update(env.Context(), namespace))
	env.waitForCondition(c, v1alpha1.ConditionRenewalFailing, "", "")
	env.WantCalls(calls + 1)
}

// When the local clock turns out to be wrong, what was planned by it is reconciled again.
func TestClockWatch(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.startManager()
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)

	env.STSClock.Step(50 * time.Minute) // STS's time is due for a renewal; the operator's clock does not know
	env.WantCalls(1)
	other := env.CreateCredential("other") // which learns the time from an answer
	env.waitForCondition(other, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	env.Eventually("the first credential is renewed", func(context.Context) bool {
		env.OperatorClock.Step(clockInterval)
		env.STSClock.Step(clockInterval)
		return env.Calls() == 3
	})
}
