// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// A new object never counts as seen by the operator, whatever its creator says.
func TestStatusStartsUnobserved(t *testing.T) {
	for _, test := range []struct{ name, status string }{
		{"no status", "null"},
		{"an empty status", "{}"},
		{"a status of the creator's", "{observedGeneration: 1, secretName: forged}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, credentialKind, "new", role, "")
			o.Object["status"] = fromYAML(t, test.status)
			create(t, o)
			got := read(t, o.GetName())
			if got.Status.ObservedGeneration != -1 || got.Status.SecretName != "" {
				t.Errorf("got %+v; want observedGeneration -1 alone", got.Status)
			}
		})
	}
}

func TestStatusIsASubresource(t *testing.T) {
	create(t, object(t, credentialKind, "parts", role, ""))

	c := read(t, "parts")
	c.Status = v1alpha1.StsCredentialStatus{ObservedGeneration: 1, SecretName: "orders"}
	c.Spec.Suspend = true
	if err := admin.Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c = read(t, "parts")
	if c.Status.SecretName != "orders" || c.Spec.Suspend || c.Generation != 1 {
		t.Errorf("after an update of the status: got %+v; want the status alone changed", c)
	}

	c.Spec.Suspend = true
	c.Status = v1alpha1.StsCredentialStatus{ObservedGeneration: 2, SecretName: "forged"}
	if err := admin.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c = read(t, "parts")
	if c.Status.SecretName != "orders" || c.Status.ObservedGeneration != 1 || !c.Spec.Suspend || c.Generation != 2 {
		t.Errorf("after an update of the spec: got %+v; want the spec and the generation alone changed", c)
	}
}

var statusRows = []row{
	{"roleName of 64", "roleName: " + times(64, "r"), ""},
	{"roleName of 65", "roleName: " + times(65, "r"), "status.roleName: Too long"},
	{"sessionName of 64", "sessionName: " + times(64, "s"), ""},
	{"sessionName of 65", "sessionName: " + times(65, "s"), "status.sessionName: Too long"},
	{"secretName of 253", "secretName: " + times(253, "s"), ""},
	{"secretName of 254", "secretName: " + times(254, "s"), "status.secretName: Too long"},
	{"accessKeyID of 256", "accessKeyID: " + times(256, "a"), ""},
	{"accessKeyID of 257", "accessKeyID: " + times(257, "a"), "status.accessKeyID: Too long"},
	{"requestID of 128", "requestID: " + times(128, "i"), ""},
	{"requestID of 129", "requestID: " + times(129, "i"), "status.requestID: Too long"},
	{"grantName of 253", "grantName: " + times(253, "g"), ""},
	{"grantName of 254", "grantName: " + times(254, "g"), "status.grantName: Too long"},
	{"an ARN of 512", "assumedRole: {arn: " + times(512, "a") + "}", ""},
	{"an ARN of 513", "assumedRole: {arn: " + times(513, "a") + "}", "status.assumedRole.arn: Too long"},
	{"an ID of 256", "assumedRole: {id: " + times(256, "i") + "}", ""},
	{"an ID of 257", "assumedRole: {id: " + times(257, "i") + "}", "status.assumedRole.id: Too long"},
	{"16 conditions", "conditions: " + list(16, conditionFormat), ""},
	{"17 conditions", "conditions: " + list(17, conditionFormat), "status.conditions: Too many"},
	{"a condition twice", "conditions: [" + strings.Join(repeat(2, fmt.Sprintf(conditionFormat, 1)), ", ") + "]", "status.conditions[1]: Duplicate value"},
	{"no time", "expiresAt: never", "status.expiresAt: must be of type date-time"},
	{"times", "{issuedAt: '2026-01-02T15:04:05Z', expiresAt: '2026-01-02T16:04:05Z', renewAt: '2026-01-02T15:44:05Z'}", ""},
	{"consumers", "consumers: {pods: 5, stale: 2, staleExpireAt: '2026-01-02T16:04:05Z'}", ""},
	{"consumers without a number", "consumers: {stale: 2}", "status.consumers.pods: Required value"},
	{"consumers without the stale ones' number", "consumers: {pods: 2}", "status.consumers.stale: Required value"},
	// JSON schema's date-time allows what Go does not read as a time.
	{"issuedAt in small letters", "issuedAt: '2026-01-02t15:04:05z'", "status.issuedAt: should match"},
	{"expiresAt in no zone on earth", "expiresAt: '2026-01-02T15:04:05+25:00'", "status.expiresAt: should match"},
	{"staleExpireAt in small letters", "consumers: {pods: 5, stale: 2, staleExpireAt: '2026-01-02t15:04:05z'}", "status.consumers.staleExpireAt: should match"},
	{"renewAt in no zone on earth", "renewAt: '2026-01-02T15:04:05+00:99'", "status.renewAt: should match"},
}

const conditionFormat = "{type: T%d, status: 'True', reason: R, message: '', lastTransitionTime: '2026-01-02T15:04:05Z'}"

func TestStatusRules(t *testing.T) {
	create(t, object(t, credentialKind, "reported", role, ""))
	for _, test := range statusRows {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, credentialKind, "reported", role, "")
			o.SetResourceVersion(read(t, "reported").ResourceVersion)
			o.Object["status"] = fromYAML(t, test.given)
			compare(t, admin.Status().Update(t.Context(), o, client.DryRunAll), test.want)
		})
	}
}

// A field that is misspelt is refused where the client asks for it, as kubectl does, and else dropped: never kept.
func TestUnknownFields(t *testing.T) {
	for _, test := range []struct{ name, kind, base, given, want string }{
		{"in a spec", credentialKind, role, "durration: 1h", `unknown field "spec.durration"`},
		{"in a secret", credentialKind, role, "secret: {type: kubernetes.io/tls}", `unknown field "spec.secret.type"`},
		{"in a grant", grantKind, grant, "maxDurration: 1h", `unknown field "spec.maxDurration"`},
		{"in namespaces", grantKind, grant, "namespaces: {names: [a], all: true}", `unknown field "spec.namespaces.all"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := object(t, test.kind, "unknown", test.base, test.given)
			err := admin.Create(t.Context(), given.DeepCopy(), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("strictly: got %v; want %s", err, test.want)
			}
			lenient := &client.CreateOptions{FieldValidation: metav1.FieldValidationIgnore}
			if err := admin.Create(t.Context(), given, client.DryRunAll, lenient); err != nil {
				t.Fatal(err)
			}
			path := strings.Split(strings.Split(test.want, `"`)[1], ".")
			if value, ok, _ := unstructured.NestedFieldNoCopy(given.Object, path...); ok {
				t.Errorf("leniently: got %v; want it dropped", value)
			}
		})
	}
}

func read(t *testing.T, name string) *v1alpha1.StsCredential {
	t.Helper()
	c := &v1alpha1.StsCredential{}
	key := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}
	if err := admin.Get(t.Context(), key, c); err != nil {
		t.Fatal(err)
	}
	return c
}
