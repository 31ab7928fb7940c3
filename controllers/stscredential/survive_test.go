// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// One answer that calls a healthy credential's request invalid fails one renewal; the next try renews it.
func TestRenewalGoesOnAfterInvalidParameter(t *testing.T) {
	for _, code := range []string{"InvalidParameter", "InvalidParameter.RoleArn", "InvalidParameter.PolicyGrammar"} {
		t.Run(code, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			first := env.wantWorking("orders")
			env.Step(45 * time.Minute)
			env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code, Times: 1})
			next := env.reconcile(c).RequeueAfter
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, code)
			if next <= 0 || next > time.Minute {
				t.Fatalf("requeue after %v, want within a minute", next)
			}
			env.Step(next)
			env.reconcile(c)
			env.WantCalls(3)
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if env.wantWorking("orders") == first {
				t.Error("not renewed")
			}
		})
	}
}

// What STS calls invalid stays on trial beyond the expiry of what there is, and its retries thin out as those of refusals do.
func TestInvalidParameterIsRetriedForEver(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Step(45 * time.Minute)
	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "InvalidParameter"})
	for range 40 {
		next := env.reconcile(c).RequeueAfter
		if next <= 0 || next > refusedMax {
			t.Fatalf("requeue after %v, want within %v", next, refusedMax)
		}
		env.Step(next)
	}
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "InvalidParameter")
	env.WantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, "")
	env.Emulator.Clear()
	env.Step(refusedMax)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.wantWorking("orders")
}

// What was judged by a namespace that was being deleted is judged again when one of that name is created.
func TestNamespaceThatIsCreatedAgainWakesItsCredentials(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.WaitForCache(c)
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	created := event.CreateEvent{Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace}}, IsInInitialList: true}
	watches{env.Client}.namespaceHandler().Create(env.Context(), created, q)
	if q.Len() != 0 {
		t.Error("the initial list enqueues every credential once more")
	}
	created.IsInInitialList = false
	watches{env.Client}.namespaceHandler().Create(env.Context(), created, q)
	if q.Len() != 1 {
		t.Errorf("%d credentials are enqueued, want the one there is", q.Len())
	}
}
