// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliyun/credentials-go/credentials/providers"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// secured serves the emulator over HTTPS, the only scheme that credentials-go speaks, and lets the default transport,
// which credentials-go clones for each call, trust the server. It returns the endpoint.
func secured(t *testing.T, emulator *stsemulator.Emulator) string {
	t.Helper()
	server := httptest.NewTLSServer(emulator)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t.Fatal("the default transport has been replaced")
	}
	before := transport.TLSClientConfig
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.Cleanup(func() { transport.TLSClientConfig = before })
	return strings.TrimPrefix(server.URL, "https://")
}

// TestCredentialsGoAssumesRoles chains two ram_role_arn providers, whose calls bear the older signature.
func TestCredentialsGoAssumesRoles(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	endpoint := secured(t, emulator)
	key := emulator.AddUser(account, "operator")
	guarded := trustAccount()
	guarded[0].StringEquals = map[string][]string{"sts:ExternalId": {"a+b=c/d"}}
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: guarded})

	first, err := providers.NewRAMRoleARNCredentialsProviderBuilder().
		WithAccessKeyId(key.ID).WithAccessKeySecret(key.Secret).WithStsEndpoint(endpoint).
		WithRoleArn(roleARN).WithRoleSessionName("first@shop").WithExternalId("a+b=c/d").WithDurationSeconds(900).
		WithPolicy(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"acs:oss:*:*:b+~x é/%"}]}`).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	second, err := providers.NewRAMRoleARNCredentialsProviderBuilder().WithCredentialsProvider(first).
		WithStsEndpoint(endpoint).WithRoleArn(roleARN).WithRoleSessionName("second").WithExternalId("a+b=c/d").Build()
	if err != nil {
		t.Fatal(err)
	}
	got, err := second.GetCredentials()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.AccessKeyId, "STS.") || got.SecurityToken == "" {
		t.Errorf("got the id %q", got.AccessKeyId)
	}
	calls := emulator.Calls()
	if len(calls) != 2 || calls[0].SessionName != "first@shop" || calls[0].ExternalID != "a+b=c/d" ||
		calls[1].CallerARN != "acs:ram::"+account+":assumed-role/orders-reader/first@shop" {
		t.Errorf("recorded %+v", calls)
	}
}

func TestCredentialsGoIsRefused(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	endpoint := secured(t, emulator)
	key := emulator.AddUser(account, "operator")
	provider, err := providers.NewRAMRoleARNCredentialsProviderBuilder().
		WithAccessKeyId(key.ID).WithAccessKeySecret(key.Secret + "x").WithStsEndpoint(endpoint).
		WithRoleArn(roleARN).WithRoleSessionName("session").Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.GetCredentials(); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret: %v", err)
	}
}

// TestCredentialsGoWithOIDC does as RRSA does in a pod: a token in a file, sent in a form.
func TestCredentialsGoWithOIDC(t *testing.T) {
	emulator, identities := stsemulator.New(stsemulator.Options{}), newIdentityProvider(t, jose.RS256)
	endpoint := secured(t, emulator)
	registerProvider(emulator, identities.keys)
	file := filepath.Join(t.TempDir(), "token")
	token := identities.token(t, goodClaims(clock.RealClock{}.Now()))
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	provider, err := providers.NewOIDCCredentialsProviderBuilder().
		WithOIDCTokenFilePath(file).WithOIDCProviderARN(providerARN).WithRoleArn(roleARN).
		WithRoleSessionName("orders").WithSTSEndpoint(endpoint).Build()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := provider.GetCredentials(); err != nil || !strings.HasPrefix(got.AccessKeyId, "STS.") {
		t.Fatalf("got %v", err)
	}
	if calls := emulator.Calls(); len(calls) != 1 || calls[0].OIDCTokenIn != "body" || calls[0].AccessKeyID != "" {
		t.Errorf("recorded %+v", calls)
	}
}

func TestResetOverHTTPS(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	server := httptest.NewUnstartedServer(emulator)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultReset})
	for _, protocol := range []string{"HTTP/2.0", "HTTP/1.1"} {
		client := server.Client()
		if protocol == "HTTP/1.1" {
			client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
				RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12,
			}}}
		}
		response, err := client.Do(newRequest(t, server.URL+"/?Action=GetCallerIdentity", ""))
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("%s: got an answer, %s, want a reset", protocol, response.Status)
		}
	}
}
