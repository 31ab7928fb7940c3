// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// oddCredentials are specs at the edge of what the schema admits: one that is admitted and does not decode into the Go
// type would break everybody's List. want is what is read back beside the role, empty where given is refused.
var oddCredentials = []row{
	{"a unit twice", "duration: 1h1h", "duration: 2h0m0s"},
	{"minutes that are hours", "duration: 60m", "duration: 1h0m0s"},
	{"seconds that are minutes", "duration: 900s", "duration: 15m0s"},
	{"leading zeros", "duration: 00015m", "duration: 15m0s"},
	{"nothing of each unit but one", "duration: 0h15m0s", "duration: 15m0s"},
	{"units in reverse", "duration: 30s30m1h", "duration: 1h30m30s"},
	{"all digits, too long", "duration: 99999s", ""},
	{"the longest that can be written", "duration: 99999h99999h99999h", ""},
	{"zero", "duration: 0s", ""},
	{"zero without a unit", "duration: '0'", ""},
	{"digits of another script", "duration: ١h", ""},
	{"a fullwidth letter", "duration: 1ｈ", ""},
	{"microseconds", "duration: 3600000000µs", ""},
	{"a blank", "duration: ' 1h'", ""},
	{"an exponent", "duration: 1e0h", ""},
	{"an underscore", "duration: 6_0m", ""},
	{"a number", "duration: 1", ""},
	{"a list", "duration: [1h]", ""},
	{"renewBefore with a unit twice", "renewBefore: 10m10m", "renewBefore: 20m0s"},
	{"renewBefore in seconds", "renewBefore: 00060s", "renewBefore: 1m0s"},

	{"a policy that is flat", "policy: {a: 1}", "policy: {a: 1}"},
	{"a policy of numbers", "policy: {a: [0, -1, 1.5, 9007199254740993]}", "policy: {a: [0, -1, 1.5, 9007199254740993]}"},
	{"a policy of nothing", "policy: {a: null, b: {}, c: [], d: '', e: false}", "policy: {a: null, b: {}, c: [], d: '', e: false}"},
	{"a policy with an empty Condition", "policy: {Statement: [{Condition: {}}]}", "policy: {Statement: [{Condition: {}}]}"},
	{"a policy with an empty key", "policy: {'': {'': ''}}", "policy: {'': {'': ''}}"},
	{"a policy that looks like an object", "policy: {apiVersion: v1, kind: Pod, metadata: {name: 1}}", "policy: {apiVersion: v1, kind: Pod, metadata: {name: 1}}"},
	{"a policy nested deeply", "policy: {a: " + nested(500) + "}", ""},
	{"a policy in Unicode", `policy: {"ключ☕": "\0\u2028𝄞"}`, `policy: {"ключ☕": "\0\u2028𝄞"}`},
	{"a policy that is a list", "policy: [a]", ""},
	{"a policy that is a number", "policy: 1", ""},

	{"an empty secret", "secret: {}", "{}"},
	{"an empty rollout", "rollout: {}", "{}"},
	{"no targets", "rollout: {mode: Auto, targets: []}", "rollout: {mode: Auto}"},
	{"empty maps", "secret: {labels: {}, annotations: {}}", "secret: {}"},
	{"annotations in Unicode", `secret: {annotations: {team: "ключ☕\0\u2028𝄞"}}`, `secret: {annotations: {team: "ключ☕\0\u2028𝄞"}}`},
	{"labels that are numbers", "secret: {labels: {team: 1}}", ""},
	{"no formats are not the default", "secret: {formats: [], template: {data: {a: b}}}", "secret: {formats: [], template: {data: {a: b}}}"},
	{"an empty template", "secret: {template: {data: {}}}", "secret: {template: {}}"},
	{"a template that is a number", "secret: {template: {data: {a: 1}}}", ""},
	{"a format that is null", "secret: {formats: [null]}", ""},
	{"a template that is null", "secret: {template: {data: {a: null}}}", "secret: {template: {}}"},
	{"a template in Unicode", `secret: {template: {data: {a: "ключ☕\0\u2028𝄞"}}}`, `secret: {template: {data: {a: "ключ☕\0\u2028𝄞"}}}`},
	{"suspend as a number", "suspend: 1", ""},
	{"suspend off", "suspend: false", "{}"},
	{"a role in a list", "roleARN: [acs:ram::1:role/r]", ""},
}

func TestOddCredentialsDecode(t *testing.T) {
	wants := map[string]string{}
	for i, test := range oddCredentials {
		o := object(t, credentialKind, fmt.Sprintf("odd-%d", i), role, test.given)
		o.SetAnnotations(map[string]string{"example.com/note": "ключ☕𝄞"})
		if !stores(t, o, test) {
			continue
		}
		t.Cleanup(func() { remove(t, o) })
		wants[o.GetName()] = test.want
		same(t, test.name, read(t, o.GetName()).Spec, role, test.want)
	}
	all := &v1alpha1.StsCredentialList{}
	if err := admin.List(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Items {
		if c.Annotations["example.com/note"] != "ключ☕𝄞" {
			t.Errorf("%s: got %q", c.Name, c.Annotations)
		}
		same(t, c.Name, c.Spec, role, wants[c.Name])
		delete(wants, c.Name)
	}
	if len(wants) > 0 {
		t.Errorf("not listed: %v", wants)
	}
}

var oddGrants = []row{
	{"a duration", "maxDuration: 00001h1h0s", "maxDuration: 2h0m0s"},
	{"a duration without a unit", "maxDuration: '0'", ""},
	{"empty lists", "{allow: [], namespaces: {names: [a], selector: {matchLabels: {a: b}, matchExpressions: []}}}", "namespaces: {names: [a], selector: {matchLabels: {a: b}}}"},
	{"names that are numbers", "namespaces: {names: [1]}", ""},
	{"names that are digits", "namespaces: {names: ['1']}", "namespaces: {names: ['1']}"},
	{"names of nothing", "namespaces: {names: [null]}", ""},
	{"an empty list of values", "namespaces: {selector: {matchExpressions: [{key: k, operator: Exists, values: []}]}}", "namespaces: {selector: {matchExpressions: [{key: k, operator: Exists}]}}"},
	{"expressions of nothing", "namespaces: {selector: {matchExpressions: [null]}}", ""},
	{"a policy", "policy: {a: [1, {b: null}]}", "policy: {a: [1, {b: null}]}"},
	{"one role, not in a list", "roleARNs: acs:ram::1:role/r", ""},
}

func TestOddGrantsDecode(t *testing.T) {
	for i, test := range oddGrants {
		o := object(t, grantKind, fmt.Sprintf("odd-%d", i), grant, test.given)
		if !stores(t, o, test) {
			continue
		}
		t.Cleanup(func() { remove(t, o) })
		g := &v1alpha1.StsRoleGrant{}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), g); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		same(t, test.name, g.Spec, grant, test.want)
	}
	if err := admin.List(t.Context(), &v1alpha1.StsRoleGrantList{}); err != nil {
		t.Fatal(err)
	}
}

// A null is as good as nothing, wherever it stands.
func TestNullsDecode(t *testing.T) {
	for kind, examples := range map[string][]string{
		credentialKind: {
			wholeCredential + "externalID: id\nsourceIdentity: id\nidentity: {accessKey: {secretName: s, accessKeyIDKey: i, accessKeySecretKey: k}}",
			wholeCredential + "identity: {serviceAccount: {name: s, oidcProviderARN: 'acs:ram::1:oidc-provider/p'}}",
		},
		grantKind: {wholeGrant},
	} {
		unvisited := map[string]bool{}
		for _, given := range examples {
			whole := fromYAML(t, given).(map[string]any)
			eachField(schema(t, kind)["properties"].(map[string]any)["spec"].(map[string]any), nil, func(path []string) {
				name := strings.Join(path, ".")
				spec := runtime.DeepCopyJSON(whole)
				if _, ok, err := unstructured.NestedFieldNoCopy(spec, path...); !ok || err != nil {
					_, before := unvisited[name]
					unvisited[name] = !before || unvisited[name]
					return
				}
				unvisited[name] = false
				nullIsNothing(t, kind, spec, path)
			})
		}
		for name, missing := range unvisited {
			if missing {
				t.Errorf("%s: no example has %s", kind, name)
			}
		}
	}
}

func nullIsNothing(t *testing.T, kind string, spec map[string]any, path []string) {
	t.Helper()
	if err := unstructured.SetNestedField(spec, nil, path...); err != nil {
		t.Fatal(err)
	}
	withNull := withSpec(kind, "null", spec)
	if admin.Create(t.Context(), withNull, client.DryRunAll) != nil {
		return
	}
	unstructured.RemoveNestedField(spec, path...)
	without := withSpec(kind, "null", spec)
	if err := admin.Create(t.Context(), without, client.DryRunAll); err != nil {
		t.Errorf("%s %v: admitted as null, but not when left out: %v", kind, path, err)
		return
	}
	if got, want := typed(t, withNull), typed(t, without); !reflect.DeepEqual(got, want) {
		t.Errorf("%s %v: null reads as %v; want %v as when left out", kind, path, got, want)
	}
}

const wholeCredential = `
roleARN: acs:ram::1:role/r
sessionName: default.s
duration: 1h
policy: {a: b}
renewBefore: 20m
secret: {name: n, labels: {a: b}, annotations: {a: b}, formats: [SDK], template: {data: {a: b}}, deletionPolicy: Delete}
rollout: {mode: Auto, targets: [{kind: Deployment, name: a}]}
suspend: true
`

const wholeGrant = `
namespaces: {names: [a], selector: {matchLabels: {a: b}, matchExpressions: [{key: k, operator: Exists}]}}
roleARNs: [acs:ram::1:role/r]
allow: [SessionName]
maxDuration: 1h
policy: {a: b}
`

// eachField visits the fields of an object and of those in it.
func eachField(node map[string]any, path []string, visit func(path []string)) {
	properties, _, _ := unstructured.NestedMap(node, "properties")
	for name, field := range properties {
		below := append(append([]string{}, path...), name)
		visit(below)
		eachField(field.(map[string]any), below, visit)
	}
}

// typed decodes what the API server answered into the Go type and returns its spec.
func typed(t *testing.T, o *unstructured.Unstructured) any {
	t.Helper()
	raw, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if o.GetKind() == grantKind {
		g := v1alpha1.StsRoleGrant{}
		if err := json.Unmarshal(raw, &g); err != nil {
			t.Fatalf("admitted, but does not decode: %v", err)
		}
		return g.Spec
	}
	c := v1alpha1.StsCredential{}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("admitted, but does not decode: %v", err)
	}
	return c.Spec
}

// stores creates an object and reports whether it was admitted, as the row expects.
func stores(t *testing.T, o *unstructured.Unstructured, test row) bool {
	t.Helper()
	err := admin.Create(t.Context(), o)
	if err == nil {
		if test.want == "" {
			t.Errorf("%s: admitted; want it refused", test.name)
		}
		return true
	}
	if !apierrors.IsInvalid(err) || test.want != "" {
		t.Errorf("%s: got %v; want %q", test.name, err, test.want)
	}
	return false
}

// same compares a spec with a base and what is laid over it.
func same(t *testing.T, name string, spec any, base, overlay string) {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	want := object(t, grantKind, "", base, overlay).Object["spec"]
	if got := fromYAML(t, string(raw)); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v; want %v", name, got, want)
	}
}

func nested(depth int) string { return times(depth, "[{a: ") + "x" + times(depth, "}]") }
