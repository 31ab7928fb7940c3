// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// A token of a real API server is verified with the signing keys of that server.
func TestServiceAccountOfARealCluster(t *testing.T) {
	ctx := t.Context()
	plane, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	admin := newAPI(t, plane.Config())
	emulator, server := newSTS(t)
	const subject = "system:serviceaccount:default:orders"
	iss := registerCluster(t, plane, emulator)
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{
		Federated:    []string{provider},
		StringEquals: map[string][]string{"oidc:sub": {subject}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:iss": {iss}},
	}}})

	user, err := plane.UserConfig("operator")
	if err != nil {
		t.Fatal(err)
	}
	_, stsClient := operatorOn(t, server)
	accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{Client: newAPI(t, user), STS: stsClient, ProviderARN: provider})
	assume := func(name string) (credentials.Credentials, error) {
		caller, err := accounts.Identity(ctx, "default", v1alpha1.ServiceAccountIdentity{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return caller.AssumeRole(ctx, request)
	}
	// RBAC and admission learn of new objects a moment later.
	expect := func(name, want string) {
		t.Helper()
		var got error
		_ = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
			_, got = assume(name)
			return (want == "" && got == nil) || (want != "" && got != nil && strings.Contains(got.Error(), want)), nil
		})
		if (want == "") != (got == nil) || got != nil && !strings.Contains(got.Error(), want) {
			t.Fatalf("%s: got %v, want %q", name, got, want)
		}
	}

	create(t, admin, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}})
	create(t, admin, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "payments"}})
	expect("orders", "the operator may not request its tokens. Grant the operator's ServiceAccount, in a Role in namespace default")
	for _, object := range tokenRole("orders", "later") {
		create(t, admin, object)
	}
	expect("later", "Create ServiceAccount later in namespace default")
	expect("orders", "")
	session, err := assume("orders")
	if err != nil || session.AssumedRoleARN != roleARN+"/shop.orders" {
		t.Errorf("as %s: %v", session.AssumedRoleARN, err)
	}
	expect("payments", "the operator may not request its tokens")
	for _, call := range emulator.Calls() {
		if call.OIDCTokenIn != "body" || call.Code != "" {
			t.Errorf("called %+v", call)
		}
	}

	emulator.AddRole(stsemulator.Role{ARN: roleARN})
	expect("orders", `"oidc:iss":"`+iss+`","oidc:aud":"sts.aliyuncs.com","oidc:sub":"`+subject+`"`)
	for _, object := range refusingTokens() {
		create(t, admin, object)
	}
	expect("orders", "admission denied the operator a token for the audience sts.aliyuncs.com: ")
}

func newAPI(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func create(t *testing.T, api client.Client, object client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// registerCluster registers the API server's issuer and keys with RAM, as a self-managed cluster's are.
func registerCluster(t *testing.T, plane *controlplane.ControlPlane, emulator *stsemulator.Emulator) (issuer string) {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) []byte {
		body, err := clientset.RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	keys, err := stsemulator.ParseJWKS(get("/openid/v1/jwks"))
	if err != nil {
		t.Fatal(err)
	}
	var discovery struct{ Issuer string }
	if err := json.Unmarshal(get("/.well-known/openid-configuration"), &discovery); err != nil {
		t.Fatal(err)
	}
	emulator.AddOIDCProvider(stsemulator.OIDCProvider{
		ARN: provider, Issuer: discovery.Issuer, ClientIDs: []string{"sts.aliyuncs.com"}, JWKS: keys,
	})
	return discovery.Issuer
}

// tokenRole lets the user operator request tokens of those ServiceAccounts.
func tokenRole(names ...string) []client.Object {
	meta := metav1.ObjectMeta{Namespace: "default", Name: "tokens"}
	return []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}, ResourceNames: names,
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tokens"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "operator"}},
		},
	}
}

// refusingTokens is an admission policy against every TokenRequest.
func refusingTokens() []client.Object {
	meta := metav1.ObjectMeta{Name: "no-tokens"}
	return []client.Object{
		&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"serviceaccounts/token"}},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "no tokens here"}},
		}},
		&admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "no-tokens", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		}},
	}
}
