// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	providerARN = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
	issuer      = "https://oidc.example.com/c1"
	invalid     = "AuthenticationFail.OIDCToken.Invalid"
	subject     = "system:serviceaccount:shop:orders"
	audience    = "sts.aliyuncs.com"
)

// identityProvider signs tokens and publishes its key.
type identityProvider struct {
	signer jose.Signer
	keys   jose.JSONWebKeySet
}

// newIdentityProvider makes one with an RSA key, as Kubernetes has by default, or with an elliptic one.
func newIdentityProvider(t *testing.T, algorithm jose.SignatureAlgorithm) identityProvider {
	t.Helper()
	var private, public any
	if algorithm == jose.RS256 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		private, public = key, key.Public()
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = key, key.Public()
	}
	signing := jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private, KeyID: "k1"}}
	signer, err := jose.NewSigner(signing, nil)
	if err != nil {
		t.Fatal(err)
	}
	return identityProvider{signer, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k1"}}}}
}

func (p identityProvider) token(t *testing.T, claims jwt.Claims) string {
	t.Helper()
	token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// goodClaims is what a ServiceAccount's projected token says.
func goodClaims(now time.Time) jwt.Claims {
	return jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
}

// registerProvider registers the provider, and a role that trusts the ServiceAccount through it.
func registerProvider(emulator *stsemulator.Emulator, keys jose.JSONWebKeySet) {
	emulator.AddOIDCProvider(stsemulator.OIDCProvider{
		ARN: providerARN, Issuer: issuer, ClientIDs: []string{"other", audience}, JWKS: keys,
	})
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{
		Federated: []string{providerARN},
		StringEquals: map[string][]string{
			"oidc:iss": {issuer}, "oidc:aud": {audience}, "oidc:sub": {subject},
		},
	}}})
}

func withToken(token string, changes params) params {
	all := assume(params{"OIDCProviderArn": providerARN, "OIDCToken": token})
	for name, value := range changes {
		all[name] = value
	}
	return all
}

// oidcTests change one thing about a good call each.
var oidcTests = []struct {
	name       string
	claims     func(*jwt.Claims)
	forged     bool
	changes    params
	wantStatus int
	wantCode   string
}{
	{name: "a good token", wantStatus: 200},
	{name: "among several audiences", claims: func(c *jwt.Claims) { c.Audience = jwt.Audience{"x", audience} },
		wantStatus: 200},
	{name: "another audience", claims: func(c *jwt.Claims) { c.Audience = jwt.Audience{"kubernetes"} },
		wantStatus: 401, wantCode: "AuthenticationFail.OIDCToken.AudienceNotMatch"},
	{name: "an audience that the role does not trust", claims: func(c *jwt.Claims) { c.Audience = jwt.Audience{"other"} },
		wantStatus: 401, wantCode: "AuthenticationFail.NoPermission"},
	{name: "another issuer", claims: func(c *jwt.Claims) { c.Issuer += "/" }, wantStatus: 401, wantCode: invalid},
	{name: "another ServiceAccount", claims: func(c *jwt.Claims) { c.Subject += "2" },
		wantStatus: 401, wantCode: "AuthenticationFail.NoPermission"},
	{name: "no subject", claims: func(c *jwt.Claims) { c.Subject = "" }, wantStatus: 401, wantCode: invalid},
	{name: "expired", claims: func(c *jwt.Claims) { c.Expiry = c.IssuedAt },
		wantStatus: 401, wantCode: "AuthenticationFail.OIDCToken.Expired"},
	{name: "without an end", claims: func(c *jwt.Claims) { c.Expiry = nil }, wantStatus: 401, wantCode: invalid},
	{name: "not yet valid", claims: func(c *jwt.Claims) { c.NotBefore = c.Expiry }, wantStatus: 401, wantCode: invalid},
	{name: "signed by another", forged: true,
		wantStatus: 401, wantCode: "AuthenticationFail.OIDCToken.InvalidSignature"},
	{name: "no JWT", changes: params{"OIDCToken": "nonsense"}, wantStatus: 401, wantCode: invalid},
	{name: "unsigned", changes: params{"OIDCToken": "eyJhbGciOiJub25lIn0.e30."},
		wantStatus: 401, wantCode: invalid},
	{name: "too short", changes: params{"OIDCToken": "abc"}, wantStatus: 400, wantCode: "InvalidParameter.OIDCToken"},
	{name: "too long", changes: params{"OIDCToken": strings.Repeat("a", 20001)},
		wantStatus: 400, wantCode: "InvalidParameter.OIDCToken"},
	{name: "no token", changes: params{"OIDCToken": ""}, wantStatus: 400, wantCode: "MissingOIDCToken"},
	{name: "no provider", changes: params{"OIDCProviderArn": ""}, wantStatus: 400, wantCode: "MissingOIDCProviderArn"},
	{name: "a provider's name alone", changes: params{"OIDCProviderArn": "ack-rrsa-c1"},
		wantStatus: 400, wantCode: "InvalidParameter.OIDCProviderArn"},
	{name: "unknown provider", changes: params{"OIDCProviderArn": providerARN + "2"},
		wantStatus: 401, wantCode: "AuthenticationFail.NoPermission"},
	{name: "unknown role", changes: params{"RoleArn": roleARN + "2"}, wantStatus: 404, wantCode: "EntityNotExist.Role"},
	{name: "too long a session", changes: params{"DurationSeconds": "3601"},
		wantStatus: 400, wantCode: "InvalidParameter.DurationSeconds"},
	{name: "bad policy", changes: params{"Policy": "{}"}, wantStatus: 400, wantCode: "InvalidParameter.PolicyGrammar"},
}

// TestOIDC changes one thing about a good call at a time.
func TestOIDC(t *testing.T) {
	trusted, stranger := newIdentityProvider(t, jose.RS256), newIdentityProvider(t, jose.RS256)
	for _, test := range oidcTests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			registerProvider(h.Emulator, trusted.keys)
			claims := goodClaims(h.clock.Now())
			if test.claims != nil {
				test.claims(&claims)
			}
			signer := trusted
			if test.forged {
				signer = stranger
			}
			parameters := withToken(signer.token(t, claims), test.changes)
			h.anonymously(t, parameters, nil).expect(t, test.wantStatus, test.wantCode)
			h.anonymously(t, nil, parameters).expect(t, test.wantStatus, test.wantCode)
		})
	}
}

// anonymously calls AssumeRoleWithOIDC without any signature, the parameters in the query or in a form.
func (h *harness) anonymously(t *testing.T, query, form params) answer {
	t.Helper()
	values := query.values()
	values.Set("Action", "AssumeRoleWithOIDC")
	values.Set("Version", "2015-04-01")
	request := newRequest(t, h.server.URL+"/?"+values.Encode(), form.values().Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return h.send(t, request)
}

func TestOIDCAnswerAndRecord(t *testing.T) {
	h, provider := newHarness(t), newIdentityProvider(t, jose.ES256)
	registerProvider(h.Emulator, provider.keys)
	token := provider.token(t, goodClaims(h.clock.Now()))
	got := h.anonymously(t, withToken(token, nil), nil)
	h.anonymously(t, nil, withToken(token, nil)).expect(t, 200, "")

	want := oidcTokenInfo{Subject: subject, Issuer: issuer, ClientIds: audience, ExpirationTime: "2026-01-01T01:00:00Z"}
	if info := got.body.OIDCTokenInfo; info == nil || *info != want {
		t.Errorf("OIDCTokenInfo in %s, want %+v", got.raw, want)
	}
	h.call(t, "GetCallerIdentity", got.triple(), nil).expect(t, 200, "")

	calls := h.Calls()
	for i, want := range []string{"query", "body", ""} {
		if calls[i].OIDCTokenIn != want {
			t.Errorf("call %d: the token is recorded in %q, want %q", i, calls[i].OIDCTokenIn, want)
		}
	}
	record, err := json.Marshal(calls)
	if err != nil || strings.Contains(string(record), token) {
		t.Errorf("the record holds the token (%v)", err)
	}
}

// TestOIDCFetchesKeys registers a provider by the URL of its keys.
func TestOIDCFetchesKeys(t *testing.T) {
	h, provider := newHarness(t), newIdentityProvider(t, jose.RS256)
	published, err := json.Marshal(provider.keys)
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openid/v1/jwks" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(published)
	}))
	defer keys.Close()
	registerProvider(h.Emulator, provider.keys)
	register := func(address string) {
		h.AddOIDCProvider(stsemulator.OIDCProvider{
			ARN: providerARN, Issuer: issuer, ClientIDs: []string{audience}, JWKSURL: address, HTTPClient: keys.Client(),
		})
	}
	call := withToken(provider.token(t, goodClaims(h.clock.Now())), nil)
	for address, want := range map[string]string{
		keys.URL + "/openid/v1/jwks": "",
		keys.URL + "/elsewhere":      "InternalError",
		"http://[::1":                "InternalError",
		"":                           "InternalError",
	} {
		register(address)
		if got := h.anonymously(t, call, nil); got.body.Code != want {
			t.Errorf("keys at %q: got %d %q, want %q", address, got.status, got.body.Code, want)
		}
	}
}
