// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// audience is the only one that tokens are asked for, as RRSA has it.
	audience = "sts.aliyuncs.com"
	// tokenLifetime is in seconds, the shortest that Kubernetes gives.
	tokenLifetime = 600
	// apiTimeout bounds a call to the API server.
	apiTimeout = 10 * time.Second
)

var providerFormat = regexp.MustCompile(`^acs:ram::([0-9]{1,32}):oidc-provider/[A-Za-z0-9._-]{1,128}$`)

// IsProviderARN tells whether s looks like acs:ram::<account>:oidc-provider/<name>.
func IsProviderARN(s string) bool { return providerFormat.MatchString(s) }

// OIDCClient asks STS with a token; *sts.Client does.
type OIDCClient interface {
	AssumeRoleWithOIDC(ctx context.Context, in sts.OIDCRequest) (credentials.Credentials, error)
}

// ServiceAccountsOptions say how ServiceAccounts ask.
type ServiceAccountsOptions struct {
	// Client makes TokenRequests; nothing is read with it.
	Client client.Client
	// STS is asked.
	STS OIDCClient
	// ProviderARN is the OIDC provider in RAM for those that name none; empty: each must.
	ProviderARN string
}

// ServiceAccounts are the identities that ask with tokens of a ServiceAccount. No
// token is kept: each call to STS gets its own. It is safe for concurrent use.
type ServiceAccounts struct {
	client      client.Client
	sts         OIDCClient
	providerARN string
	// accepted are those that STS gave a session, by which their account is known to be theirs.
	accepted *perNamespace // serviceAccount -> nil
}

// NewServiceAccounts prepares them; nothing is called yet.
func NewServiceAccounts(o ServiceAccountsOptions) *ServiceAccounts {
	return &ServiceAccounts{client: o.Client, sts: o.STS, providerARN: o.ProviderARN, accepted: newPerNamespace()}
}

// Identity is that ServiceAccount, ready to ask. Its token is made when it asks, so
// that one who waits for the budget needs none. The Caller has an account only: the
// provider's once STS has accepted the ServiceAccount, and until then ratelimit.Unaccepted's,
// since whoever names a provider may name anybody's.
// The error is an *UnavailableError.
func (s *ServiceAccounts) Identity(_ context.Context, namespace string, spec v1alpha1.ServiceAccountIdentity) (Identity, error) {
	who := serviceAccount{namespace: namespace, name: spec.Name, providerARN: cmp.Or(spec.OIDCProviderARN, s.providerARN)}
	if who.providerARN == "" {
		return Identity{}, who.unavailable(sts.Refused,
			"no OIDC provider is named: set --oidc-provider-arn or spec.identity.serviceAccount.oidcProviderARN")
	}
	provider := providerFormat.FindStringSubmatch(who.providerARN)
	if provider == nil {
		return Identity{}, who.unavailable(sts.Refused,
			"the OIDC provider's ARN is wrongly formed: write acs:ram::<account id>:oidc-provider/<name> in --oidc-provider-arn or spec.identity.serviceAccount.oidcProviderARN")
	}
	return Identity{
		Caller: sts.Caller{Account: s.account(who, provider[1])},
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return s.assume(ctx, who, in)
		},
		Invalidate: func() {}, // each call has a new token anyhow
	}, nil
}

func (s *ServiceAccounts) account(who serviceAccount, claimed string) string {
	if _, ok := s.accepted.get(who.namespace, who); ok {
		return claimed
	}
	return ratelimit.Unaccepted(who.namespace) // whatever it claims: it may claim any number
}

func (s *ServiceAccounts) assume(ctx context.Context, who serviceAccount, in credentials.Request) (credentials.Credentials, error) {
	token, err := s.token(ctx, who)
	if err != nil {
		return credentials.Credentials{}, err
	}
	session, err := s.sts.AssumeRoleWithOIDC(ctx, sts.OIDCRequest{ProviderARN: who.providerARN, Token: token, Request: in})
	var failed *sts.Error
	if errors.As(err, &failed) {
		if failed.Class == sts.Refused {
			s.accepted.remove(who.namespace, who)
		}
		return credentials.Credentials{}, failed.WithSubject(sts.Subject{
			Name: who.subject(), ProviderARN: who.providerARN, Issuer: claimsOf(token).Issuer,
		})
	}
	if err == nil {
		s.accepted.add(who.namespace, who, nil)
	}
	return session, err
}

// token asks the API server for one. It is bound to no object: it is used at once.
func (s *ServiceAccounts) token(ctx context.Context, who serviceAccount) (string, error) {
	waiting, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{audience}, ExpirationSeconds: ptr.To[int64](tokenLifetime),
	}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: who.namespace, Name: who.name}}
	err := s.client.SubResource("token").Create(waiting, account, request)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", who.explain(err)
	case request.Status.Token == "":
		return "", who.unavailable(sts.Transient, "the API server gave no token: it is asked again by itself")
	}
	return request.Status.Token, nil
}

// serviceAccount is one that asks.
type serviceAccount struct{ namespace, name, providerARN string }

// subject is what tokens call it.
func (a serviceAccount) subject() string {
	return "system:serviceaccount:" + a.namespace + ":" + a.name
}

func (a serviceAccount) unavailable(class sts.Class, nextStep string) *UnavailableError {
	return &UnavailableError{Source: "ServiceAccount " + a.namespace + "/" + a.name, Class: class, NextStep: nextStep}
}

// explain sorts the API server's refusal of a TokenRequest.
func (a serviceAccount) explain(err error) error {
	denied := admissionOf(err)
	switch {
	case apierrors.IsNotFound(err):
		return a.unavailable(sts.Refused, fmt.Sprintf("it does not exist: create ServiceAccount %s in namespace %s", a.name, a.namespace))
	case denied != "":
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"admission refuses the operator a token of it for the audience %s: let it pass, or use another identity: %s", audience, denied))
	case apierrors.IsForbidden(err):
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"the operator may not request tokens of it: a Role in namespace %s must give the operator's ServiceAccount the verb create on serviceaccounts/token with the resourceName %s", a.namespace, a.name))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"the API server does not accept a TokenRequest for the audience %s and %d s: check its --service-account-* flags", audience, tokenLifetime))
	default:
		return a.unavailable(sts.Transient, "the API server did not give a token: it is asked again by itself")
	}
}

// maxDenial is how much is shown of what an admission plugin or webhook says. They
// see a TokenRequest before there is a token in it.
const maxDenial = 300

// admissionOf is what admission said when it was admission that refused, else "".
func admissionOf(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	text := status.Status().Message
	if !strings.Contains(text, " denied request") && !strings.Contains(text, " denied the request") {
		return "" // neither a policy's words nor a webhook's
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxDenial {
		text = strings.ToValidUTF8(text[:maxDenial], "") + "…"
	}
	return text
}
