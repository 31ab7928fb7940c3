// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

var (
	orders  = v1alpha1.ServiceAccountIdentity{Name: "operator"}
	request = credentials.Request{RoleARN: roleARN, SessionName: "shop.orders"}
)

// tokens answers TokenRequests.
type tokens func(account client.Object, request *authenticationv1.TokenRequest) error

func (f tokens) client() client.Client {
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(ctx context.Context, _ client.Client, name string, object, body client.Object, _ ...client.SubResourceCreateOption) error {
			if name != "token" {
				panic("not a token: " + name)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(object, body.(*authenticationv1.TokenRequest))
		},
	}).Build()
}

// giving answers with that token.
func giving(token string) tokens {
	return func(_ client.Object, request *authenticationv1.TokenRequest) error {
		request.Status.Token = token
		return nil
	}
}

// refusing answers with that error.
func refusing(err error) tokens {
	return func(client.Object, *authenticationv1.TokenRequest) error { return err }
}

// trusting is the role with the trust policy of the operator's ServiceAccount.
var trusting = stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{
	Federated:    []string{provider},
	StringEquals: map[string][]string{"oidc:sub": {serviceAccount}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:iss": {issuer}},
}}}

func TestServiceAccountAssumesARole(t *testing.T) {
	emulator, server := newSTS(t)
	token := clusterToken(t, emulator)
	emulator.AddRole(trusting)
	_, stsClient := operatorOn(t, server)
	var made atomic.Int32
	accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{
		STS: stsClient, ProviderARN: provider,
		Client: tokens(func(account client.Object, request *authenticationv1.TokenRequest) error {
			made.Add(1)
			if account.GetNamespace() != "sts-system" || account.GetName() != "operator" {
				t.Errorf("a token of %s/%s", account.GetNamespace(), account.GetName())
			}
			if s := request.Spec; !slices.Equal(s.Audiences, []string{"sts.aliyuncs.com"}) || *s.ExpirationSeconds != 600 || s.BoundObjectRef != nil {
				t.Errorf("requested %+v", s)
			}
			request.Status.Token = token
			return nil
		}).client(),
	})
	caller, err := accounts.Identity(context.Background(), "sts-system", orders)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Caller != (sts.Caller{Account: "unaccepted/sts-system"}) || made.Load() != 0 {
		t.Errorf("%+v, with %d tokens before the call", caller.Caller, made.Load())
	}
	for want := range int32(2) {
		session, err := caller.AssumeRole(context.Background(), request)
		if err != nil || session.AssumedRoleARN != roleARN+"/shop.orders" {
			t.Fatalf("as %s: %v", session.AssumedRoleARN, err)
		}
		if made.Load() != want+1 {
			t.Errorf("%d tokens, want %d: none is kept", made.Load(), want+1)
		}
		caller.Invalidate()
	}
	// STS accepted it: the account is its own.
	if caller, err = accounts.Identity(context.Background(), "sts-system", orders); err != nil || caller.Caller != (sts.Caller{Account: account}) {
		t.Errorf("%+v, %v after the call", caller.Caller, err)
	}
	for _, call := range emulator.Calls() {
		if call.OIDCTokenIn != "body" || call.AccessKeyID != "" {
			t.Errorf("called %+v", call)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", caller, caller, accounts); strings.Contains(text, token[:20]) {
		t.Errorf("it prints %s", text)
	}
}

func TestServiceAccountThatSTSRefuses(t *testing.T) {
	emulator, server := newSTS(t)
	token := clusterToken(t, emulator)
	emulator.AddRole(stsemulator.Role{ARN: roleARN})
	_, stsClient := operatorOn(t, server)
	for name, c := range map[string]struct {
		token string
		want  []string
	}{
		"a role that does not trust it": {token, []string{
			"AuthenticationFail.NoPermission", roleARN, `"oidc:sub":"` + "system:serviceaccount:shop:orders" + `"`, `"oidc:iss":"` + issuer + `"`, provider,
		}},
		"a malformed token":       {"hush.hush", []string{"AuthenticationFail.OIDCToken.Invalid", provider}},
		"a token of other claims": {"hush.hush.hush", []string{"AuthenticationFail.OIDCToken.Invalid"}},
		"malformed claims":        {"hush.eyJpc3MiOiJodXNoIGh1c2giLCJzdWIiOiI8aHVzaD4ifQ.hush", []string{"AuthenticationFail.OIDCToken.Invalid"}},
		"a token without claims":  {"hush.W10.hush", []string{"AuthenticationFail.OIDCToken.Invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{STS: stsClient, ProviderARN: provider, Client: giving(c.token).client()})
			caller, err := accounts.Identity(context.Background(), "shop", v1alpha1.ServiceAccountIdentity{Name: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = caller.AssumeRole(context.Background(), request)
			var failed *sts.Error
			if !errors.As(err, &failed) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), token[:20]) || len(err.Error()) > 900 {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it says: %v\nwant: %s", err, want)
				}
			}
		})
	}
}

func TestServiceAccountWithoutAToken(t *testing.T) {
	resource, kind := schema.GroupResource{Resource: "serviceaccounts"}, schema.GroupKind{Kind: "TokenRequest"}
	denied := func(text string) error { return apierrors.NewForbidden(resource, "orders", errors.New(text)) }
	for name, c := range map[string]struct {
		answer tokens
		class  sts.Class
		want   string
	}{
		"no ServiceAccount": {refusing(apierrors.NewNotFound(resource, "orders")), sts.Refused, "Create ServiceAccount orders in namespace shop"},
		"no right": {refusing(denied(`User "op" cannot create resource "serviceaccounts/token" in API group "" in the namespace "shop"`)),
			sts.Refused, "the operator may not request its tokens. Grant the operator's ServiceAccount, in a Role in namespace shop"},
		"a policy against it": {refusing(denied("ValidatingAdmissionPolicy 'tokens' with binding 'tokens' denied request: no")),
			sts.Refused, "admission denied the operator a token for the audience sts.aliyuncs.com: "},
		"a webhook against it, at length":    {refusing(denied(`admission webhook "w" denied the request: ` + strings.Repeat("ä \n", 500))), sts.Refused, `webhook "w" denied`},
		"an API server that gives no tokens": {refusing(apierrors.NewInvalid(kind, "orders", nil)), sts.Refused, "--service-account-"},
		"a busy API server":                  {refusing(apierrors.NewTooManyRequests("hush", 1)), sts.Transient, "the operator retries"},
		"a broken network":                   {refusing(errors.New(`Post "https://10.0.0.1/hush": EOF`)), sts.Transient, "the operator retries"},
		"an empty answer":                    {giving(""), sts.Transient, "returned no token"},
	} {
		t.Run(name, func(t *testing.T) {
			accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{STS: noSTS{t}, ProviderARN: provider, Client: c.answer.client()})
			caller, err := accounts.Identity(context.Background(), "shop", v1alpha1.ServiceAccountIdentity{Name: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = caller.AssumeRole(context.Background(), request)
			checkError(t, err)
			var unavailable *identity.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Class != c.class || !strings.Contains(err.Error(), "ServiceAccount shop/orders: ") ||
				!strings.Contains(err.Error(), c.want) || len(err.Error()) > 600 {
				t.Errorf("got %v: %v, want %v: %s", unavailable.Class, err, c.class, c.want)
			}
		})
	}
}

// noSTS must not be called.
type noSTS struct{ t *testing.T }

func (n noSTS) AssumeRoleWithOIDC(context.Context, sts.OIDCRequest) (credentials.Credentials, error) {
	n.t.Error("STS is called")
	return credentials.Credentials{}, nil
}

func (n noSTS) AssumeRole(context.Context, credentials.Credentials, credentials.Request) (credentials.Credentials, error) {
	n.t.Error("STS is called")
	return credentials.Credentials{}, nil
}

func (n noSTS) GetCallerIdentity(context.Context, credentials.Credentials) (sts.Caller, error) {
	n.t.Error("GetCallerIdentity is called")
	return sts.Caller{}, nil
}

func TestServiceAccountsProvider(t *testing.T) {
	const other = "acs:ram::2:oidc-provider/theirs"
	for _, c := range []struct{ name, flag, spec, account, want string }{
		{"the operator's", provider, "", "unaccepted/shop", ""},
		{"its own", provider, other, "unaccepted/shop", ""},
		{"none", "", "", "", "Set --oidc-provider-arn or spec.identity.serviceAccount.oidcProviderARN"},
		{"a malformed ARN", "hush", "", "", "acs:ram::<account ID>:oidc-provider/<name>"},
		{"one with more behind it", provider + "\nhush", "", "", "acs:ram::<account ID>:oidc-provider/<name>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{STS: noSTS{t}, ProviderARN: c.flag, Client: giving("").client()})
			caller, err := accounts.Identity(context.Background(), "shop", v1alpha1.ServiceAccountIdentity{Name: "orders", OIDCProviderARN: c.spec})
			if caller.Caller.Account != c.account || (err == nil) != (c.want == "") {
				t.Fatalf("account %s, %v", caller.Caller.Account, err)
			}
			if err == nil {
				return
			}
			if checkError(t, err); !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says: %v\nwant: %s", err, c.want)
			}
		})
	}
}

func TestCanceledServiceAccountCall(t *testing.T) {
	accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{STS: noSTS{t}, ProviderARN: provider, Client: giving("t").client()})
	caller, err := accounts.Identity(context.Background(), "shop", orders)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := caller.AssumeRole(ctx, request); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
