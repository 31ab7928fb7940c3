// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"strings"

	"github.com/go-jose/go-jose/v4/jwt"
)

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
	provider, failure := e.providerFor(req)
	if failure != nil {
		return nil, failure
	}
	claims, failure := provider.verify(req.http.Context(), req.param("OIDCToken"), req.signedAround)
	if failure != nil {
		return nil, failure
	}
	role, failure := e.roleFor(asked)
	if failure != nil {
		return nil, failure
	}
	facts := map[string][]string{
		"oidc:iss": {claims.Issuer},
		"oidc:aud": claims.Audience,
		"oidc:sub": {claims.Subject},
	}
	if !role.trustsFederated(provider.ARN, facts) {
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

// providerFor finds the provider that a call names; both parameters that only this action has are checked here.
func (e *Emulator) providerFor(req *request) (OIDCProvider, *apiError) {
	arn, token := req.param("OIDCProviderArn"), req.param("OIDCToken")
	switch {
	case arn == "":
		return OIDCProvider{}, missing("OIDCProviderArn")
	case token == "":
		return OIDCProvider{}, missing("OIDCToken")
	case !providerARNForm.MatchString(arn):
		return OIDCProvider{}, newError("InvalidParameter.OIDCProviderArn")
	case len(token) < minOIDCToken || len(token) > maxOIDCToken:
		return OIDCProvider{}, newError("InvalidParameter.OIDCToken")
	}
	provider, known := e.directory.provider(arn)
	if !known {
		return OIDCProvider{}, newError("AuthenticationFail.NoPermission").withMessage(messageNoProvider)
	}
	return provider, nil
}

// formatClaim writes a date as STS does; an absent one is empty.
func formatClaim(date *jwt.NumericDate) string {
	if date == nil {
		return ""
	}
	return date.Time().UTC().Format(expirationLayout)
}
