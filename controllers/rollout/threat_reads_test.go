// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// Targets that do not exist cost a bounded number of reads, however often the spec is edited, and a workload that is not read keeps its
// condition.
func TestThreatMissingTargets(t *testing.T) {
	const targets, edits = 32, 20
	env := newRestartingEnvironment(t)
	user := env.user("edit")
	reads := 0
	env.APIReader = interceptor.NewClient(api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
			reads++
		}
		return c.Get(ctx, key, o, opts...)
	}})
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
		c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour}
		for i := range targets {
			c.Spec.Rollout.Targets = append(c.Spec.Rollout.Targets, v1alpha1.RolloutTarget{Kind: "Deployment", Name: fmt.Sprint("missing-", i)})
		}
	})
	for range 10 {
		env.reconcile(c)
	}
	if reads != targets {
		t.Errorf("%d reads of %d targets of one spec", reads, targets)
	}
	for i := range edits {
		env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"spec":{"renewBefore":"%dm"}}`, 60+i))))
		env.reconcile(c)
		env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonTargetNotFound, "missing-")
	}
	if reads != readBurst {
		t.Errorf("%d reads after %d edits at the same time, want %d", reads, edits, readBurst)
	}
	other := newRestartingEnvironment(t) // another operator that shares the limits, and another namespace
	other.Reads = env.Reads
	d := other.CreateCredential("orders", withTarget("Deployment", "none"))
	other.reconcile(d)
	other.WantCondition(d, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonTargetNotFound, "none")

	for i := range targets { // deferred reads are done later
		env.createDeployment(fmt.Sprint("missing-", i), byVolume("orders"))
	}
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonTargetNotFound, "missing-")
	for range 10 {
		next := env.reconcile(c).RequeueAfter
		if meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRolloutFailing) == nil {
			return
		}
		if next == 0 || next > retry.Blocked {
			t.Fatalf("requeue after %v", next)
		}
		env.Step(next)
	}
	t.Errorf("after 10 retries: %+v", c.Status.Conditions)
}
