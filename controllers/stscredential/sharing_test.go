// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// What others put on the operator's own Secret stays, whatever the operator writes there.
func TestAdditionsOfOthersSurvive(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(env *environment, c *v1alpha1.StsCredential)
		calls int
	}{
		{"a reconcile", func(*environment, *v1alpha1.StsCredential) {}, 1},
		{"a renewal", func(env *environment, _ *v1alpha1.StsCredential) { env.Step(time.Hour) }, 2},
		{"a repair", func(env *environment, _ *v1alpha1.StsCredential) {
			env.EditSecret("orders", func(s *corev1.Secret) { s.Data["ALIBABA_CLOUD_SECURITY_TOKEN"] = nil })
		}, 2},
		{"other keys", func(env *environment, c *v1alpha1.StsCredential) { env.Edit(c, withFormats(v1alpha1.FormatPlain)) }, 2},
		{"other labels and annotations", func(env *environment, c *v1alpha1.StsCredential) {
			env.Edit(c, func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
				c.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"example.com/team": "shop"}
			})
		}, 1},
		{"another deletion policy", func(env *environment, c *v1alpha1.StsCredential) { env.Edit(c, withRetain) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.EditSecret("orders", func(s *corev1.Secret) {
				s.Data["other"] = []byte("x")
				s.Labels["other"], s.Annotations["example.com/other"] = "x", "x"
				s.Finalizers = []string{"example.com/other"}
			})
			tt.given(env, c)
			env.reconcile(c)
			env.WantCalls(tt.calls)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			s := env.Secret("orders")
			if string(s.Data["other"]) != "x" || s.Labels["other"] != "x" || s.Annotations["example.com/other"] != "x" || len(s.Finalizers) != 1 {
				t.Errorf("left are keys %v, %v", len(s.Data), s.ObjectMeta)
			}
			env.EditSecret("orders", func(s *corev1.Secret) { s.Finalizers = nil })
		})
	}
}

// Of two that name one Secret the first keeps it, and the second gets its turn when the first goes.
func TestTwoNameOneSecret(t *testing.T) {
	env := newEnvironment(t)
	shared := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first, second := env.CreateCredential("first", shared), env.CreateCredential("second", shared)
	env.reconcile(first)
	for range 3 {
		env.reconcile(second)
		env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential first")
		env.Step(time.Hour)
		env.reconcile(first)
		env.WantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	}
	env.WantCalls(4)
	env.deleteCredential(first)
	env.Eventually("the Secret went with the first", func(context.Context) bool { return env.Secret("shared") == nil })
	env.reconcile(second)
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCalls(5)
}
