// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	applyv1alpha1 "github.com/stscredential/sts-credential-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

const fieldManager = client.FieldOwner("apply-test")

// credentialToApply sets a field of each kind: texts, durations, lists, maps, objects and free JSON.
func credentialToApply() *applyv1alpha1.StsCredentialApplyConfiguration {
	return applyv1alpha1.StsCredential("applied", metav1.NamespaceDefault).
		WithLabels(map[string]string{"team": "shop"}).
		WithSpec(applyv1alpha1.StsCredentialSpec().
			WithRoleARN("acs:ram::1234567890123456:role/orders-reader").
			WithDuration(metav1.Duration{Duration: 2 * time.Hour}).
			WithPolicy(runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:GetObject","Resource":"*"}]}`)}).
			WithIdentity(applyv1alpha1.IdentitySpec().WithServiceAccount(applyv1alpha1.ServiceAccountIdentity().WithName("orders"))).
			WithSecret(applyv1alpha1.SecretSpec().WithFormats(v1alpha1.FormatSDK, v1alpha1.FormatOSS).
				WithLabels(map[string]v1alpha1.LabelValue{"team": "shop"})).
			WithRollout(applyv1alpha1.RolloutSpec().WithTargets(applyv1alpha1.RolloutTarget().WithKind("Deployment").WithName("orders"))))
}

// The API server accepts what the apply configuration of an StsCredential sets, and keeps what other clients set.
func TestApplyStsCredential(t *testing.T) {
	if err := admin.Apply(t.Context(), credentialToApply(), fieldManager); err != nil {
		t.Fatal(err)
	}
	stored := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Name: "applied", Namespace: metav1.NamespaceDefault}}
	t.Cleanup(func() { remove(t, stored) })
	// What the operator and kubectl stscred renew write.
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
		t.Fatal(err)
	}
	before := stored.DeepCopy()
	stored.Finalizers, stored.Annotations = []string{"example.com/kept"}, map[string]string{"sts.alibabacloud.com/renew-requested-at": "now"}
	if err := admin.Patch(t.Context(), stored, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = admin.Patch(context.WithoutCancel(t.Context()), stored, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	})
	if err := admin.Apply(t.Context(), credentialToApply(), fieldManager); err != nil {
		t.Fatal(err)
	}
	after := &v1alpha1.StsCredential{}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(stored), after); err != nil {
		t.Fatal(err)
	}
	if after.ResourceVersion != stored.ResourceVersion {
		t.Errorf("the second apply changed the object:\n%+v\nto\n%+v", stored, after)
	}
	if after.Spec.Duration.Duration != 2*time.Hour || len(after.Spec.Secret.Formats) != 2 || after.Labels["team"] != "shop" {
		t.Errorf("the API server stored %+v", after)
	}
	extracted, err := applyv1alpha1.ExtractStsCredential(after, string(fieldManager))
	if err != nil {
		t.Fatal(err)
	}
	wantSameJSON(t, extracted, credentialToApply())
}

// The same for an StsRoleGrant, which has no namespace. An apply configuration without a field that an earlier one set removes it.
func TestApplyStsRoleGrant(t *testing.T) {
	grant := func() *applyv1alpha1.StsRoleGrantApplyConfiguration {
		return applyv1alpha1.StsRoleGrant("applied").WithSpec(applyv1alpha1.StsRoleGrantSpec().
			WithNamespaces(applyv1alpha1.GrantNamespaces().WithNames("default").WithSelector(
				applyv1alpha1.GrantSelector().WithMatchExpressions(applyv1alpha1.GrantSelectorRequirement().
					WithKey("team").WithOperator(metav1.LabelSelectorOpIn).WithValues("shop")))).
			WithRoleARNs("acs:ram::1234567890123456:role/orders-*"))
	}
	limited := grant()
	limited.Spec.WithMaxDuration(metav1.Duration{Duration: time.Hour}).WithAllow(v1alpha1.AllowSessionName)
	if err := admin.Apply(t.Context(), limited, fieldManager); err != nil {
		t.Fatal(err)
	}
	stored := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "applied"}}
	t.Cleanup(func() { remove(t, stored) })
	if err := admin.Apply(t.Context(), grant(), fieldManager); err != nil {
		t.Fatal(err)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
		t.Fatal(err)
	}
	if stored.Spec.MaxDuration != nil || len(stored.Spec.Allow) != 0 {
		t.Errorf("fields that are no longer applied remain: %+v", stored.Spec)
	}
	extracted, err := applyv1alpha1.ExtractStsRoleGrant(stored, string(fieldManager))
	if err != nil {
		t.Fatal(err)
	}
	wantSameJSON(t, extracted, grant())
}

// wantSameJSON compares what two values are as JSON, without regard to the order of keys in free JSON.
func wantSameJSON(t *testing.T, got, want any) {
	t.Helper()
	var texts [2]string
	for i, value := range []any{got, want} {
		content, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var decoded any
		if err := json.Unmarshal(content, &decoded); err != nil {
			t.Fatal(err)
		}
		content, err = json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(content)
	}
	if texts[0] != texts[1] {
		t.Errorf("got  %s\nwant %s", texts[0], texts[1])
	}
}
