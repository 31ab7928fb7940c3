// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
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

// The schema refuses lists, maps and texts that no policy of 2048 characters has, and takes the longest that one has.
func TestPoliciesAreBounded(t *testing.T) {
	texts := func(n int) []any { return slices.Repeat([]any{"a"}, n) }
	keys := func(n int) map[string]any {
		all := map[string]any{}
		for i := range n {
			all[fmt.Sprint("k", i)] = "v"
		}
		return all
	}
	statement := func(element string, value any) map[string]any {
		return map[string]any{"Version": "1", "Statement": []any{map[string]any{"Effect": "Allow", element: value}}}
	}
	small := map[string]any{"Effect": "Deny", "Action": "", "Resource": ""}
	for name, tt := range map[string]struct {
		taken, refused map[string]any
	}{
		"statements":         {map[string]any{"Statement": slices.Repeat([]any{small}, 48)}, map[string]any{"Statement": slices.Repeat([]any{small}, 1000)}},
		"numbers":            {map[string]any{"Statement": []any{int64(1)}}, map[string]any{"Statement": slices.Repeat([]any{int64(1)}, 100_000)}},
		"actions":            {statement("Action", texts(500)), statement("Action", texts(5000))},
		"a text":             {statement("Action", strings.Repeat("é", 2048)), statement("Action", strings.Repeat("a", 2049))},
		"a text in a list":   {statement("Action", []any{strings.Repeat("é", 2048)}), statement("Action", []any{strings.Repeat("a", 2049)})},
		"elements":           {map[string]any{"Version": "1", "Statement": []any{keys(6)}}, map[string]any{"Statement": []any{keys(100)}}},
		"operators":          {statement("Condition", map[string]any{"Bool": keys(1)}), statement("Condition", keys(1000))},
		"condition keys":     {statement("Condition", map[string]any{"Bool": keys(200)}), statement("Condition", map[string]any{"Bool": keys(2000)})},
		"values":             {statement("Condition", map[string]any{"Bool": map[string]any{"k": texts(500)}}), statement("Condition", map[string]any{"Bool": map[string]any{"k": texts(5000)}})},
		"elements of it all": {keys(16), keys(17)},
	} {
		for kind, base := range map[string]string{credentialKind: role, grantKind: grant} {
			for given, taken := range map[*map[string]any]bool{&tt.taken: true, &tt.refused: false} {
				o := object(t, kind, "bounded", base, "")
				if err := unstructured.SetNestedField(o.Object, *given, "spec", "policy"); err != nil {
					t.Fatal(err)
				}
				if err := admin.Create(t.Context(), o, client.DryRunAll); (err == nil) != taken || err != nil && !apierrors.IsInvalid(err) {
					t.Errorf("%s: %s: taken = %v, got %.200v", kind, name, taken, err)
				}
			}
		}
	}
}

// Annotations for the Secret are bounded in bytes, too.
func TestAnnotationsAreBoundedInBytes(t *testing.T) {
	for char, taken := range map[string]bool{"a": true, "好": false} {
		annotations := map[string]any{}
		for i := range 32 {
			annotations[fmt.Sprint("k", i)] = strings.Repeat(char, 1024)
		}
		o := object(t, credentialKind, "bounded", role, "")
		if err := unstructured.SetNestedMap(o.Object, annotations, "spec", "secret", "annotations"); err != nil {
			t.Fatal(err)
		}
		if err := admin.Create(t.Context(), o, client.DryRunAll); (err == nil) != taken {
			t.Errorf("32 annotations of 1024 %q: taken = %v, got %.200v", char, taken, err)
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
