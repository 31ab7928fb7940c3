// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// A user who may write an StsCredential, but no workload, cannot restart a workload at will: neither one that reads the Secret, nor
// a target that does not.
func TestThreatRestartsAtWill(t *testing.T) {
	for _, tt := range []struct {
		name        string
		credential  func(*v1alpha1.StsCredential)
		pods        corev1.PodSpec
		least, most int // restarts in two hours
	}{
		{"a workload that reads it, four hours", withAutoRestart, byEnvFrom("orders"), 2, 3},
		{"a target that does not read it, a quarter of an hour", func(c *v1alpha1.StsCredential) {
			withTarget("Deployment", "env")(c)
			c.Spec.Duration = &metav1.Duration{Duration: 15 * time.Minute}
		}, byEnvFrom("stock"), 20, 24},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newRestartingEnvironment(t)
			c := env.CreateCredential("orders", tt.credential)
			env.reconcile(c)
			d := env.createDeployment("env", tt.pods)
			env.createPodOf(d, "a")
			restarts, last := 0, env.resourceVersion(d)
			const minutes = 120
			for i := range minutes {
				env.Edit(c, func(c *v1alpha1.StsCredential) {
					c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: time.Duration(i).String()}
				})
				env.Step(time.Minute)
				env.reconcile(c)
				if now := env.resourceVersion(d); now != last {
					restarts, last = restarts+1, now
				}
			}
			if calls := env.Calls(); calls < minutes {
				t.Errorf("only %d renewals: the load is too low", calls)
			}
			if restarts < tt.least || restarts > tt.most {
				t.Errorf("%d restarts in %d minutes, want %d to %d", restarts, minutes, tt.least, tt.most)
			}
		})
	}
}
