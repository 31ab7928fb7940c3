// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// wholePolicy has what RAM's grammar knows, what it does not, and numbers that a float64 would change: with any part of
// it lost, the session could do more than was meant. Keys are sorted, as the API server writes them.
const wholePolicy = `{"Future":{"deep":{"er":[null]}},"Statement":[` +
	`{"Action":["ots:Get*"],"Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]},"NumericLessThan":{"x":9007199254740993}},` +
	`"Effect":"Allow","NotResource":"acs:ots:*:*:instance/*","Principal":{},"Resource":[]},` +
	`{"Action":"*","Condition":{},"Effect":"Deny","Sid":""}],"Version":"1"}`

func TestPolicyIsKeptWhole(t *testing.T) {
	create(t, object(t, credentialKind, "whole", role, "policy: "+wholePolicy))
	c := read(t, "whole")
	keptWhole(t, "a StsCredential's", c.Spec.Policy)

	// What a controller reads and writes back is as whole as what a person writes.
	c.Spec.Suspend = true
	if err := admin.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	keptWhole(t, "a StsCredential's, written back", read(t, "whole").Spec.Policy)

	create(t, object(t, grantKind, "whole", grant, "policy: "+wholePolicy))
	g := &v1alpha1.StsRoleGrant{}
	if err := admin.Get(t.Context(), client.ObjectKey{Name: "whole"}, g); err != nil {
		t.Fatal(err)
	}
	keptWhole(t, "a StsRoleGrant's", g.Spec.Policy)
}

// One object whose policy nests to the limit of the API server's JSON parser would make every List that holds it fail.
func TestPoliciesNestNoDeeperThanRAMs(t *testing.T) {
	for kind, base := range map[string]string{credentialKind: role, grantKind: grant} {
		for _, depth := range []int{6, 500, 9980, 9990} {
			for shape, wrap := range map[string]func(any) any{
				"maps":  func(v any) any { return map[string]any{"a": v} },
				"lists": func(v any) any { return []any{v} },
			} {
				var policy any = "x"
				for range depth {
					policy = wrap(policy)
				}
				o := object(t, kind, "deep", base, "")
				if err := unstructured.SetNestedField(o.Object, map[string]any{"a": policy}, "spec", "policy"); err != nil {
					t.Fatal(err)
				}
				if err := admin.Create(t.Context(), o, client.DryRunAll); !apierrors.IsInvalid(err) {
					t.Errorf("%s: a policy of %d %s: got %.200v; want it refused", kind, depth, shape, err)
				}
			}
		}
	}
}

func keptWhole(t *testing.T, whose string, policy *runtime.RawExtension) {
	t.Helper()
	if policy == nil {
		t.Errorf("%s is gone", whose)
	} else if got := string(policy.Raw); got != wholePolicy {
		t.Errorf("%s: got\n%s\nwant\n%s", whose, got, wholePolicy)
	}
}
