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
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			first := w.wantWorking("orders")
			w.step(45 * time.Minute)
			w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code, Times: 1})
			next := w.pass(c).RequeueAfter
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, code)
			if next <= 0 || next > time.Minute {
				t.Fatalf("next look in %v, want within a minute", next)
			}
			w.step(next)
			w.pass(c)
			w.wantCalls(3)
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if w.wantWorking("orders") == first {
				t.Error("not renewed")
			}
		})
	}
}

// What STS calls invalid stays on trial beyond the expiry of what there is, and its retries thin out as those of refusals do.
func TestInvalidParameterIsRetriedForEver(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.step(45 * time.Minute)
	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "InvalidParameter"})
	for range 40 {
		next := w.pass(c).RequeueAfter
		if next <= 0 || next > refusedMax {
			t.Fatalf("next look in %v, want within %v", next, refusedMax)
		}
		w.step(next)
	}
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "InvalidParameter")
	w.wantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, "")
	w.emulator.Clear()
	w.step(refusedMax)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantWorking("orders")
}

// What was judged by a namespace that was being deleted is judged again when one of that name is created.
func TestNamespaceThatIsCreatedAgainWakesItsCredentials(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.catchUp(c)
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	created := event.CreateEvent{Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, IsInInitialList: true}
	watches{w.Client}.namespaceHandler().Create(w.ctx, created, q)
	if q.Len() != 0 {
		t.Error("the initial list wakes every credential once more")
	}
	created.IsInInitialList = false
	watches{w.Client}.namespaceHandler().Create(w.ctx, created, q)
	if q.Len() != 1 {
		t.Errorf("%d credentials are woken, want the one there is", q.Len())
	}
}
