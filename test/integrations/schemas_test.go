// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package integrations

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// layout is the schema location that docs/gitops.md gives to kubeconform, below the folder of the schemas.
const layout = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"

// newValidator runs make schemas, and returns kubeconform's validator for what it wrote.
func newValidator(t *testing.T) validator.Validator {
	t.Helper()
	dist := t.TempDir()
	build := exec.CommandContext(t.Context(), "make", "-C", fromRoot(), "--no-print-directory", "schemas", "DIST="+dist)
	build.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	v, err := validator.New([]string{filepath.Join(dist, "schemas", layout)}, validator.Opts{Strict: true})
	must(t, err)
	return v
}

// problemOf returns what kubeconform says against an object; nothing if it is valid.
func problemOf(t *testing.T, v validator.Validator, object *unstructured.Unstructured) string {
	t.Helper()
	content, err := json.Marshal(object.Object)
	must(t, err)
	results := v.Validate("object.json", io.NopCloser(bytes.NewReader(content)))
	if len(results) != 1 {
		t.Fatalf("%d results for one object", len(results))
	}
	switch results[0].Status {
	case validator.Valid:
		return ""
	case validator.Invalid:
		return results[0].Err.Error()
	default:
		t.Fatalf("kubeconform cannot validate the object: %v", results[0].Err)
		return ""
	}
}

// object returns a valid object of either kind with one change: YAML that replaces the value at a path.
func object(t *testing.T, kind, path, value string) *unstructured.Unstructured {
	t.Helper()
	base := `{apiVersion: sts.alibabacloud.com/v1alpha1, kind: StsCredential, metadata: {name: orders, namespace: default},
  spec: {roleARN: "acs:ram::1234567890123456:role/orders-reader"}}`
	if kind == "StsRoleGrant" {
		base = `{apiVersion: sts.alibabacloud.com/v1alpha1, kind: StsRoleGrant, metadata: {name: orders},
  spec: {namespaces: {names: [default]}, roleARNs: ["acs:ram::1234567890123456:role/orders-reader"]}}`
	}
	o := parse(t, base)[0]
	if path == "" {
		return o
	}
	fields := strings.Split(path, ".")
	if value == "" {
		unstructured.RemoveNestedField(o.Object, fields...)
		return o
	}
	must(t, unstructured.SetNestedField(o.Object, parse(t, "value: "+value)[0].Object["value"], fields...))
	return o
}

// structure are changes that a schema can judge. valid says whether the API server and the JSON schema accept them.
var structure = []struct {
	name, kind, path, value string
	valid                   bool
}{
	{"the credential itself", "StsCredential", "", "", true},
	{"no role", "StsCredential", "spec.roleARN", "", false},
	{"no spec", "StsCredential", "spec", "", false},
	{"a user's ARN as role", "StsCredential", "spec.roleARN", `"acs:ram::1234567890123456:user/orders"`, false},
	{"a number as role", "StsCredential", "spec.roleARN", "1", false},
	{"a misspelled field", "StsCredential", "spec.roleArn", `"acs:ram::1234567890123456:role/orders-reader"`, false},
	{"an unknown field of metadata", "StsCredential", "metadata.label", "{a: b}", false},
	{"an unknown field beside the spec", "StsCredential", "specs", "{}", false},
	{"a label", "StsCredential", "metadata.labels", "{team: shop}", true},
	{"a label that is a number", "StsCredential", "metadata.labels", "{team: 1}", false},
	{"a duration", "StsCredential", "spec.duration", "1h30m", true},
	{"a duration in words", "StsCredential", "spec.duration", "an hour", false},
	{"a duration in seconds", "StsCredential", "spec.duration", "3600", false},
	{"suspend", "StsCredential", "spec.suspend", "true", true},
	{"suspend as text", "StsCredential", "spec.suspend", `"true"`, false},
	{"formats", "StsCredential", "spec.secret", "{formats: [SDK, OSS]}", true},
	{"a format twice", "StsCredential", "spec.secret", "{formats: [SDK, SDK]}", false},
	{"an unknown format", "StsCredential", "spec.secret", "{formats: [AWS]}", false},
	{"a template", "StsCredential", "spec.secret", "{template: {data: {token: '{{ .SecurityToken }}'}}}", true},
	{"a template that is a list", "StsCredential", "spec.secret", "{template: {data: [token]}}", false},
	{"an unknown field of the Secret", "StsCredential", "spec.secret", "{type: Opaque}", false},
	{"a ServiceAccount", "StsCredential", "spec.identity", "{serviceAccount: {name: orders}}", true},
	{"a ServiceAccount of another namespace", "StsCredential", "spec.identity", "{serviceAccount: {name: orders, namespace: other}}", false},
	{"a ServiceAccount without a name", "StsCredential", "spec.identity", "{serviceAccount: {}}", false},
	{"a session policy", "StsCredential", "spec.policy", `{Version: "1", Statement: [{Effect: Allow, Action: "oss:GetObject", Resource: ["*"]}]}`, true},
	{"a session policy that is a text", "StsCredential", "spec.policy", `"{}"`, false},
	{"an empty session policy", "StsCredential", "spec.policy", "{}", false},
	{"targets", "StsCredential", "spec.rollout", "{targets: [{kind: Deployment, name: orders}]}", true},
	{"a target of another kind", "StsCredential", "spec.rollout", "{targets: [{kind: CronJob, name: orders}]}", false},
	{"a target without a name", "StsCredential", "spec.rollout", "{targets: [{kind: Deployment}]}", false},
	{"the grant itself", "StsRoleGrant", "", "", true},
	{"a grant without roles", "StsRoleGrant", "spec.roleARNs", "[]", false},
	{"a grant with a role twice", "StsRoleGrant", "spec.roleARNs", `["acs:ram::1:role/a", "acs:ram::1:role/a"]`, false},
	{"a grant with a wildcard", "StsRoleGrant", "spec.roleARNs", `["acs:ram::1:role/orders-*"]`, true},
	{"a grant with a wildcard for the account", "StsRoleGrant", "spec.roleARNs", `["acs:ram::*:role/orders"]`, false},
	{"a selector", "StsRoleGrant", "spec.namespaces", "{selector: {matchLabels: {team: shop}}}", true},
	{"a selector with an unknown operator", "StsRoleGrant", "spec.namespaces", "{selector: {matchExpressions: [{key: a, operator: Like}]}}", false},
	{"an allowance", "StsRoleGrant", "spec.allow", "[SessionName]", true},
	{"an unknown allowance", "StsRoleGrant", "spec.allow", "[Everything]", false},
	{"a maximum", "StsRoleGrant", "spec.maxDuration", "1h", true},
	{"a maximum that is a number", "StsRoleGrant", "spec.maxDuration", "60", false},
}

// A JSON schema accepts and refuses what the API server accepts and refuses.
func TestSchemasAgreeWithTheAPIServer(t *testing.T) {
	v := newValidator(t)
	for _, test := range structure {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, test.kind, test.path, test.value)
			if problem := problemOf(t, v, o); (problem == "") != test.valid {
				t.Errorf("the JSON schema says %q; want valid: %t", problem, test.valid)
			}
			if err := admin.Create(t.Context(), o, client.DryRunAll); (err == nil) != test.valid {
				t.Errorf("the API server says %v; want valid: %t", err, test.valid)
			}
		})
	}
}

// The samples are valid, and what the API server returns of them too.
func TestSchemasOfSamples(t *testing.T) {
	v := newValidator(t)
	files, err := filepath.Glob(fromRoot("config", "samples", "*.yaml"))
	must(t, err)
	kinds := map[string]int{}
	for _, file := range files {
		for _, o := range read(t, "config", "samples", filepath.Base(file)) {
			if o.GroupVersionKind().Group != "sts.alibabacloud.com" {
				continue
			}
			kinds[o.GetKind()]++
			if problem := problemOf(t, v, o); problem != "" {
				t.Errorf("%s: %s", file, problem)
			}
			if o.GetKind() == "StsCredential" {
				o.SetNamespace("default")
			}
			must(t, admin.Create(t.Context(), o, client.DryRunAll))
			if problem := problemOf(t, v, o); problem != "" {
				t.Errorf("%s, as the API server returns it: %s", file, problem)
			}
		}
	}
	if kinds["StsCredential"] < 5 || kinds["StsRoleGrant"] < 1 {
		t.Errorf("only these samples were found: %v", kinds)
	}
}
