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
	// audience is the audience of all tokens, the same as RRSA's.
	audience = "sts.aliyuncs.com"
	// tokenLifetime is in seconds, the shortest that Kubernetes allows.
	tokenLifetime = 600
	// apiTimeout bounds a call to the API server.
	apiTimeout = 10 * time.Second
)

var providerFormat = regexp.MustCompile(`^acs:ram::([0-9]{1,32}):oidc-provider/[A-Za-z0-9._-]{1,128}$`)

// IsProviderARN reports whether s has the form acs:ram::<account>:oidc-provider/<name>.
func IsProviderARN(s string) bool { return providerFormat.MatchString(s) }

// OIDCClient calls STS with an OIDC token; *sts.Client does.
type OIDCClient interface {
	AssumeRoleWithOIDC(ctx context.Context, in sts.OIDCRequest) (credentials.Credentials, error)
}

// ServiceAccountsOptions are the options of ServiceAccounts.
type ServiceAccountsOptions struct {
	// Client creates TokenRequests; it reads nothing.
	Client client.Client
	// STS is the client for their calls.
	STS OIDCClient
	// ProviderARN is the default OIDC provider in RAM; if it is empty, each ServiceAccountIdentity must name one.
	ProviderARN string
}

// ServiceAccounts provides the identities of ServiceAccounts. It keeps no token: each call to STS has its own. It is safe for
// concurrent use.
type ServiceAccounts struct {
	client      client.Client
	sts         OIDCClient
	providerARN string
	// accepted holds the ServiceAccounts for which AssumeRoleWithOIDC succeeded: the account of their provider is theirs.
	accepted *perNamespace // serviceAccount -> nil
}

// NewServiceAccounts returns ServiceAccounts; it makes no call.
func NewServiceAccounts(o ServiceAccountsOptions) *ServiceAccounts {
	return &ServiceAccounts{client: o.Client, sts: o.STS, providerARN: o.ProviderARN, accepted: newPerNamespace()}
}

// Identity returns the identity of a ServiceAccount. AssumeRole requests the token, so that an identity that waits for the
// budget needs none. The Caller has an account only: the provider's after STS accepted the ServiceAccount, and before that
// ratelimit.Unaccepted's, because a spec can name the provider of any account. The error is an *UnavailableError.
func (s *ServiceAccounts) Identity(_ context.Context, namespace string, spec v1alpha1.ServiceAccountIdentity) (Identity, error) {
	who := serviceAccount{namespace: namespace, name: spec.Name, providerARN: cmp.Or(spec.OIDCProviderARN, s.providerARN)}
	if who.providerARN == "" {
		return Identity{}, who.unavailable(sts.Refused,
			"no OIDC provider is configured. Set --oidc-provider-arn or spec.identity.serviceAccount.oidcProviderARN")
	}
	provider := providerFormat.FindStringSubmatch(who.providerARN)
	if provider == nil {
		return Identity{}, who.unavailable(sts.Refused,
			"the ARN of the OIDC provider is malformed. Write acs:ram::<account ID>:oidc-provider/<name> in --oidc-provider-arn or spec.identity.serviceAccount.oidcProviderARN")
	}
	return Identity{
		Caller: sts.Caller{Account: s.account(who, provider[1])},
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return s.assume(ctx, who, in)
		},
		Invalidate: func() {}, // each call has a new token
	}, nil
}

func (s *ServiceAccounts) account(who serviceAccount, ofProvider string) string {
	if _, ok := s.accepted.get(who.namespace, who); ok {
		return ofProvider
	}
	return ratelimit.Unaccepted(who.namespace)
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

// token requests a token from the API server. It is not bound to an object, because it is used at once.
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
		return "", who.unavailable(sts.Transient, "the API server returned no token; the operator retries")
	}
	return request.Status.Token, nil
}

// serviceAccount is a ServiceAccount with the OIDC provider for its tokens.
type serviceAccount struct{ namespace, name, providerARN string }

// subject returns the subject of its tokens.
func (a serviceAccount) subject() string {
	return "system:serviceaccount:" + a.namespace + ":" + a.name
}

func (a serviceAccount) unavailable(class sts.Class, nextStep string) *UnavailableError {
	return &UnavailableError{Source: "ServiceAccount " + a.namespace + "/" + a.name, Class: class, NextStep: nextStep}
}

// explain classifies an error of a TokenRequest.
func (a serviceAccount) explain(err error) error {
	denied := admissionOf(err)
	switch {
	case apierrors.IsNotFound(err):
		return a.unavailable(sts.Refused, fmt.Sprintf("the ServiceAccount does not exist. Create ServiceAccount %s in namespace %s", a.name, a.namespace))
	case denied != "":
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"admission denied the operator a token for the audience %s: %s. Allow the request, or use another identity", audience, denied))
	case apierrors.IsForbidden(err):
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"the operator may not request its tokens. Grant the operator's ServiceAccount, in a Role in namespace %s, the verb create on serviceaccounts/token with the resourceName %s", a.namespace, a.name))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return a.unavailable(sts.Refused, fmt.Sprintf(
			"the API server rejects a TokenRequest for the audience %s and %d s. Check its --service-account-* flags", audience, tokenLifetime))
	default:
		return a.unavailable(sts.Transient, "the API server failed to return a token; the operator retries")
	}
}

// maxDenial is the number of bytes that are shown of a denial by an admission plugin or webhook. Admission sees a
// TokenRequest before there is a token in it.
const maxDenial = 300

// admissionOf returns the message of an admission plugin or webhook that denied the request; empty for other errors.
func admissionOf(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	text := status.Status().Message
	if !strings.Contains(text, " denied request") && !strings.Contains(text, " denied the request") {
		return "" // the message of neither a policy nor a webhook
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxDenial {
		text = strings.ToValidUTF8(text[:maxDenial], "") + "…"
	}
	return text
}
