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

// mutateSecrets has admission change each Secret of the namespace that the operator writes, until lift is called.
func (env *environment) mutateSecrets(patch string) (lift func()) {
	env.Helper()
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: env.Namespace},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": env.Namespace}},
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
		ObjectMeta: metav1.ObjectMeta{Name: env.Namespace},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: env.Namespace},
	}
	env.Must(api.Create(env.Context(), policy))
	env.Must(api.Create(env.Context(), binding))
	remove := func() error {
		return client.IgnoreNotFound(errors.Join(client.IgnoreNotFound(api.Delete(context.Background(), binding)), client.IgnoreNotFound(api.Delete(context.Background(), policy))))
	}
	env.Cleanup(func() { _ = remove() })
	stands := func(ctx context.Context) bool {
		probe := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "probe", Labels: map[string]string{"x": "y"}, Annotations: map[string]string{"sts.alibabacloud.com/expires-at": "x"}},
			Data:       map[string][]byte{secret.KeySecurityToken: []byte("y"), "x": []byte("y")},
		}
		return api.Create(ctx, probe, client.DryRunAll) == nil && probe.Data["mutated"] != nil
	}
	env.Eventually("admission changes Secrets", stands)
	return func() {
		env.Must(remove())
		env.Eventually("admission changes no Secrets", func(ctx context.Context) bool { return !stands(ctx) })
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
			env := newEnvironment(t)
			lift := env.mutateSecrets(patch)
			c := env.CreateCredential("orders")
			env.wantBackoff(c, 1)
			lift()
			env.Step(time.Minute)
			env.reconcile(c)
			env.WantCalls(1) // what was issued is written
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")

			lift = env.mutateSecrets(patch)
			env.Step(45 * time.Minute)
			env.wantBackoff(c, 2)
			lift()
			env.Step(time.Minute)
			env.reconcile(c)
			env.WantCalls(2)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")
			env.wantNoLeak(c)
		})
	}
}

// wantBackoff requires that a credential whose Secret admission changes is reported, and that tries are paced: one write, and
// no more than the given number of calls.
func (env *environment) wantBackoff(c *v1alpha1.StsCredential, calls int) {
	env.Helper()
	var version string
	for i := range 6 {
		next := env.reconcile(c).RequeueAfter
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
		env.WantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
		env.WantCalls(calls)
		if next <= 0 || next > transientMax {
			env.Fatalf("requeue after %v, want within %v", next, transientMax)
		}
		if s := env.Secret("orders"); i == 0 {
			version = s.ResourceVersion
		} else if s.ResourceVersion != version {
			env.Error("the Secret is written again and again")
		}
		env.Step(next)
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
			env := newEnvironment(t)
			lift := env.mutateSecrets(patch)
			c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) {
				c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
			})
			for range 4 {
				next := env.reconcile(c).RequeueAfter
				env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
				env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
				if next <= 0 {
					env.Fatal("it is not reconciled again")
				}
				env.Step(min(next, time.Minute))
			}
			env.WantCalls(1)
			env.wantWorking("orders")
			lift()
			env.Step(10 * time.Minute)
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
			if s := env.Secret("orders"); s.Labels["team"] != "shop" || len(s.OwnerReferences) != 1 {
				t.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
			}
			env.WantCalls(1)
		})
	}
}

// A change of labels that admission uses to take the record away is reported, and what stands there is issued anew.
func TestAdjustmentsThatAdmissionChanges(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	lift := env.mutateSecrets(mutations["all annotations go"])
	env.Edit(c, func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
	})
	next := env.reconcile(c).RequeueAfter
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "changed by admission")
	if next <= 0 {
		t.Fatal("it is not reconciled again")
	}
	lift()
	env.Step(next)
	env.reconcile(c)
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.wantWorking("orders")
}
