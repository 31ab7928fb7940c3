// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// mutated has admission change each Secret of the namespace that the operator writes, until lift is called.
func (w *world) mutated(patch string) (lift func()) {
	w.Helper()
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
				}}},
			},
			Mutations: []admissionv1.Mutation{
				{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: "[JSONPatch{" + patch + "}]"}},
				{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: `object.metadata.name == "probe" ? [JSONPatch{op: "add", path: "/data/mutated", value: "eA=="}] : []`}},
			},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: w.namespace},
	}
	w.must(api.Create(w.ctx, policy))
	w.must(api.Create(w.ctx, binding))
	remove := func() error {
		return client.IgnoreNotFound(errors.Join(client.IgnoreNotFound(api.Delete(context.Background(), binding)), client.IgnoreNotFound(api.Delete(context.Background(), policy))))
	}
	w.Cleanup(func() { _ = remove() })
	stands := func(ctx context.Context) bool {
		probe := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "probe", Labels: map[string]string{"x": "y"}, Annotations: map[string]string{"sts.alibabacloud.com/expires-at": "x"}},
			Data:       map[string][]byte{secret.KeySecurityToken: []byte("y"), "x": []byte("y")},
		}
		return api.Create(ctx, probe, client.DryRunAll) == nil && probe.Data["mutated"] != nil
	}
	w.eventually("admission changes Secrets", stands)
	return func() {
		w.must(remove())
		w.eventually("admission changes no Secrets", func(ctx context.Context) bool { return !stands(ctx) })
	}
}

// What admission makes of the operator's Secrets, so that they are not what was sent.
var mutations = map[string]string{
	"all annotations go":     `op: "remove", path: "/metadata/annotations"`,
	"one annotation goes":    `op: "remove", path: "/metadata/annotations/sts.alibabacloud.com~1expires-at"`,
	"the record is changed":  `op: "replace", path: "/metadata/annotations/sts.alibabacloud.com~1expires-at", value: "2030-01-01T00:00:00Z"`,
	"the data is changed":    `op: "replace", path: "/data/ALIBABA_CLOUD_SECURITY_TOKEN", value: "eA=="`,
	"a key of the data goes": `op: "remove", path: "/data/ALIBABA_CLOUD_SECURITY_TOKEN"`,
}

// A Secret that admission changes on its way is reported as such; it is neither written nor asked for again and again, and
// what STS issued is written once admission lets it.
func TestSecretsThatAdmissionChanges(t *testing.T) {
	for name, patch := range mutations {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			lift := w.mutated(patch)
			c := w.credential("orders")
			w.wantHeldBack(c, 1)
			lift()
			w.step(time.Minute)
			w.pass(c)
			w.wantCalls(1) // what was issued is written
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")

			lift = w.mutated(patch)
			w.step(45 * time.Minute)
			w.wantHeldBack(c, 2)
			lift()
			w.step(time.Minute)
			w.pass(c)
			w.wantCalls(2)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")
			w.wantSilent(c)
		})
	}
}

// wantHeldBack insists that a credential whose Secret admission changes is reported, and that tries are paced: one write, and
// no more than the given number of calls.
func (w *world) wantHeldBack(c *v1alpha1.StsCredential, calls int) {
	w.Helper()
	var version string
	for i := range 6 {
		next := w.pass(c).RequeueAfter
		w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
		w.wantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
		w.wantCalls(calls)
		if next <= 0 || next > transientMax {
			w.Fatalf("next look in %v, want within %v", next, transientMax)
		}
		if s := w.secret("orders"); i == 0 {
			version = s.ResourceVersion
		} else if s.ResourceVersion != version {
			w.Error("the Secret is written again and again")
		}
		w.step(next)
	}
}

// Metadata that admission changes leaves credentials that work, and is reported beside them.
func TestMetadataThatAdmissionChanges(t *testing.T) {
	for name, patch := range map[string]string{
		"labels go":         `op: "remove", path: "/metadata/labels"`,
		"the owner goes":    `op: "add", path: "/metadata/ownerReferences", value: []`,
		"a label is edited": `op: "add", path: "/metadata/labels/team", value: "other"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			lift := w.mutated(patch)
			c := w.credential("orders", func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
			})
			for range 4 {
				next := w.pass(c).RequeueAfter
				w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
				w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
				if next <= 0 {
					w.Fatal("it is not looked at again")
				}
				w.step(min(next, time.Minute))
			}
			w.wantCalls(1)
			w.wantWorking("orders")
			lift()
			w.step(10 * time.Minute)
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if s := w.secret("orders"); s.Labels["team"] != "shop" || len(s.OwnerReferences) != 1 {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
			w.wantCalls(1)
		})
	}
}

// A change of labels that admission uses to take the record away is reported, and what stands there is issued anew.
func TestAdjustmentsThatAdmissionChanges(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	lift := w.mutated(mutations["all annotations go"])
	w.edit(c, func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
	})
	next := w.pass(c).RequeueAfter
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
	if next <= 0 {
		t.Fatal("it is not looked at again")
	}
	lift()
	w.step(next)
	w.pass(c)
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantWorking("orders")
}
