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
		given func(w *world, c *v1alpha1.StsCredential)
		calls int
	}{
		{"a look", func(*world, *v1alpha1.StsCredential) {}, 1},
		{"a renewal", func(w *world, _ *v1alpha1.StsCredential) { w.step(time.Hour) }, 2},
		{"a repair", func(w *world, _ *v1alpha1.StsCredential) {
			w.editSecret("orders", func(s *corev1.Secret) { s.Data["ALIBABA_CLOUD_SECURITY_TOKEN"] = nil })
		}, 2},
		{"other keys", func(w *world, c *v1alpha1.StsCredential) { w.edit(c, withFormats(v1alpha1.FormatPlain)) }, 2},
		{"other labels and annotations", func(w *world, c *v1alpha1.StsCredential) {
			w.edit(c, func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
				c.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"example.com/team": "shop"}
			})
		}, 1},
		{"another deletion policy", func(w *world, c *v1alpha1.StsCredential) { w.edit(c, retain) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			w.editSecret("orders", func(s *corev1.Secret) {
				s.Data["other"] = []byte("x")
				s.Labels["other"], s.Annotations["example.com/other"] = "x", "x"
				s.Finalizers = []string{"example.com/other"}
			})
			tt.given(w, c)
			w.pass(c)
			w.wantCalls(tt.calls)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			s := w.secret("orders")
			if string(s.Data["other"]) != "x" || s.Labels["other"] != "x" || s.Annotations["example.com/other"] != "x" || len(s.Finalizers) != 1 {
				t.Errorf("left are keys %v, %v", len(s.Data), s.ObjectMeta)
			}
			w.editSecret("orders", func(s *corev1.Secret) { s.Finalizers = nil })
		})
	}
}

// Of two that name one Secret the first keeps it, and the second gets its turn when the first goes.
func TestTwoNameOneSecret(t *testing.T) {
	w := newWorld(t)
	shared := func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "shared" }
	first, second := w.credential("first", shared), w.credential("second", shared)
	w.pass(first)
	for range 3 {
		w.pass(second)
		w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential first")
		w.step(time.Hour)
		w.pass(first)
		w.wantCondition(first, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	}
	w.wantCalls(4)
	w.deleted(first)
	w.eventually("the Secret went with the first", func(context.Context) bool { return w.secret("shared") == nil })
	w.pass(second)
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCalls(5)
}
