// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokenLifetime is how long the tokens of an Issuer are valid.
const tokenLifetime = time.Hour

// Issuer signs OIDC tokens as the API server of a cluster does, with a key of its own.
type Issuer struct {
	url string
	key jose.JSONWebKey
}

// NewIssuer returns an issuer whose tokens name the URL as their iss.
func NewIssuer(url string) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Issuer{url: url, key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil
}

// Provider returns the registration of the issuer with RAM under an ARN.
func (i *Issuer) Provider(arn string, clientIDs ...string) OIDCProvider {
	return OIDCProvider{ARN: arn, Issuer: i.url, ClientIDs: clientIDs, JWKS: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}}}
}

// Token returns a token of the subject for one audience, valid for an hour from issuedAt.
func (i *Issuer) Token(subject, audience string, issuedAt time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, nil)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.url, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(issuedAt), Expiry: jwt.NewNumericDate(issuedAt.Add(tokenLifetime)),
	}).Serialize()
}

// ParseJWKS reads the keys that an issuer publishes, such as /openid/v1/jwks of an API server.
func ParseJWKS(published []byte) (keys jose.JSONWebKeySet, err error) {
	if err := json.Unmarshal(published, &keys); err != nil {
		return keys, fmt.Errorf("reading keys: %w", err)
	}
	return keys, nil
}
