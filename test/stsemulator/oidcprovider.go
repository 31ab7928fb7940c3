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

// verify proves that the provider issued the token, for one of its clients and for now.
func (p OIDCProvider) verify(ctx context.Context, raw string, now time.Time) (jwt.Claims, *apiError) {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	})
	if err != nil {
		return jwt.Claims{}, newError("AuthenticationFail.OIDCToken.Invalid")
	}
	keys, err := p.keys(ctx)
	if err != nil {
		return jwt.Claims{}, newError("InternalError")
	}
	var claims jwt.Claims
	if err := token.Claims(keys, &claims); err != nil {
		return jwt.Claims{}, newError("AuthenticationFail.OIDCToken.InvalidSignature")
	}
	return claims, p.checkClaims(claims, now)
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
