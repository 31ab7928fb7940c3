// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// minOIDCToken and maxOIDCToken bound an OIDC token, in characters.
	minOIDCToken, maxOIDCToken = 4, 20000
	// jwksTimeout bounds the fetching of a provider's keys.
	jwksTimeout = 5 * time.Second
)

// OIDCProvider is an identity provider registered with RAM.
type OIDCProvider struct {
	// ARN has the form acs:ram::<account>:oidc-provider/<name>.
	ARN string
	// Issuer must equal the iss of a token.
	Issuer string
	// ClientIDs are the accepted audiences.
	ClientIDs []string
	// JWKS holds the keys that sign tokens. If it is empty, they are fetched from JWKSURL for every call.
	JWKS jose.JSONWebKeySet
	// JWKSURL is where the keys are published.
	JWKSURL string
	// HTTPClient fetches them. Default: http.DefaultClient.
	HTTPClient *http.Client
}

// oidcTokenInfo repeats what the token said.
type oidcTokenInfo struct {
	Subject          string
	Issuer           string
	ClientIDs        string `json:"ClientIds"`
	ExpirationTime   string
	IssuanceTime     string
	VerificationInfo string
}

// assumeRoleWithOIDC answers AssumeRoleWithOIDC. It is anonymous: the token is all there is to prove who asks.
func (e *Emulator) assumeRoleWithOIDC(req *request, _ identity) (any, *apiError) {
	asked, failure := readSession(req)
	if failure != nil {
		return nil, failure
	}
	asked.externalID, asked.sourceIdentity = "", "" // not parameters of this action
	claims, provider, failure := e.verifyOIDCToken(req)
	if failure != nil {
		return nil, failure
	}
	role, failure := e.roleFor(asked)
	if failure != nil {
		return nil, failure
	}
	context := map[string][]string{
		"oidc:iss": {claims.Issuer},
		"oidc:aud": claims.Audience,
		"oidc:sub": {claims.Subject},
	}
	if !role.trustsFederated(provider.ARN, context) {
		return nil, newError("AuthenticationFail.NoPermission")
	}
	answer := e.issue(req, asked)
	answer.OIDCTokenInfo = &oidcTokenInfo{
		Subject:          claims.Subject,
		Issuer:           claims.Issuer,
		ClientIDs:        strings.Join(claims.Audience, ","),
		ExpirationTime:   formatClaim(claims.Expiry),
		IssuanceTime:     formatClaim(claims.IssuedAt),
		VerificationInfo: "Success",
	}
	return answer, nil
}

// verifyOIDCToken checks the token against the provider that the call names.
func (e *Emulator) verifyOIDCToken(req *request) (jwt.Claims, OIDCProvider, *apiError) {
	none := jwt.Claims{}
	arn, raw := req.param("OIDCProviderArn"), req.param("OIDCToken")
	switch {
	case arn == "":
		return none, OIDCProvider{}, missing("OIDCProviderArn")
	case raw == "":
		return none, OIDCProvider{}, missing("OIDCToken")
	case !providerARNForm.MatchString(arn):
		return none, OIDCProvider{}, newError("InvalidParameter.OIDCProviderArn")
	case len(raw) < minOIDCToken || len(raw) > maxOIDCToken:
		return none, OIDCProvider{}, newError("InvalidParameter.OIDCToken")
	}
	provider, known := e.directory.provider(arn)
	if !known {
		return none, OIDCProvider{}, newError("AuthenticationFail.NoPermission").withMessage(messageNoProvider)
	}
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	})
	if err != nil {
		return none, OIDCProvider{}, newError("AuthenticationFail.OIDCToken.Invalid")
	}
	keys, err := provider.keys(req.http.Context())
	if err != nil {
		return none, OIDCProvider{}, newError("InternalError")
	}
	var claims jwt.Claims
	if err := token.Claims(keys, &claims); err != nil {
		return none, OIDCProvider{}, newError("AuthenticationFail.OIDCToken.InvalidSignature")
	}
	return claims, provider, provider.checkClaims(claims, req.signedAround)
}

// checkClaims holds a token's claims, its signature proven, against the provider's registration.
func (p OIDCProvider) checkClaims(claims jwt.Claims, now time.Time) *apiError {
	switch {
	case claims.Issuer != p.Issuer:
		return newError("AuthenticationFail.OIDCToken.Invalid").withMessage("Invalid issuer.")
	case !slices.ContainsFunc(p.ClientIDs, claims.Audience.Contains):
		return newError("AuthenticationFail.OIDCToken.AudienceNotMatch")
	case claims.Expiry == nil || claims.Subject == "":
		return newError("AuthenticationFail.OIDCToken.Invalid")
	case !now.Before(claims.Expiry.Time()):
		return newError("AuthenticationFail.OIDCToken.Expired")
	case claims.NotBefore != nil && now.Add(time.Minute).Before(claims.NotBefore.Time()):
		return newError("AuthenticationFail.OIDCToken.Invalid")
	default:
		return nil
	}
}

// keys returns the provider's keys, fetched if it was registered with a URL.
func (p OIDCProvider) keys(ctx context.Context) (*jose.JSONWebKeySet, error) {
	if len(p.JWKS.Keys) > 0 {
		return &p.JWKS, nil
	}
	if p.JWKSURL == "" {
		return nil, errors.New("the provider has neither keys nor a URL to fetch them from")
	}
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.JWKSURL, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	client := p.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching keys: HTTP status %d", response.StatusCode)
	}
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&keys); err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return &keys, nil
}

// formatClaim writes a date as STS does; an absent one is empty.
func formatClaim(date *jwt.NumericDate) string {
	if date == nil {
		return ""
	}
	return date.Time().UTC().Format(expirationLayout)
}
