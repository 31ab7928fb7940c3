// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const trustStorePassword = "changeit"

// serveHTTPS serves the emulated STS over HTTPS too, which some providers require, and has the programs trust it. It returns host
// and port.
func (env *environment) serveHTTPS() (endpoint string) {
	env.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		env.emulator.ServeHTTP(&issuanceWriter{ResponseWriter: w, issued: &env.issued}, r)
	}))
	env.Cleanup(server.Close)
	folder := env.TempDir()
	certificate := filepath.Join(folder, "sts.pem")
	env.must(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	env.Setenv("SSL_CERT_FILE", certificate)
	env.Setenv("ALIBABA_CLOUD_CA_BUNDLE", certificate) // of the V1.0 SDK for Python
	env.trustStore = filepath.Join(folder, "sts.p12")
	out, err := exec.CommandContext(env.Context(), "keytool", "-importcert", "-noprompt", "-alias", "sts", "-file", certificate,
		"-keystore", env.trustStore, "-storetype", "PKCS12", "-storepass", trustStorePassword).CombinedOutput()
	if err != nil {
		env.Fatalf("keytool: %v\n%s", err, out)
	}
	return strings.TrimPrefix(server.URL, "https://")
}

// issuanceWriter records the sessions that STS issues to programs, so that services accept them.
type issuanceWriter struct {
	http.ResponseWriter
	issued *issuedSessions
}

func (w *issuanceWriter) Write(response []byte) (int, error) {
	var issuance struct {
		Credentials struct{ AccessKeyId, AccessKeySecret, SecurityToken string } //nolint:revive // STS's names
	}
	if err := json.Unmarshal(response, &issuance); err == nil && issuance.Credentials.SecurityToken != "" {
		c := issuance.Credentials
		w.issued.add(credentials.Credentials{AccessKeyID: c.AccessKeyId, AccessKeySecret: c.AccessKeySecret, SecurityToken: c.SecurityToken})
	}
	return w.ResponseWriter.Write(response)
}

// setOIDC registers an OIDC provider, has the role trust a ServiceAccount, orders, and sets the variables that RRSA injects. The
// function that it returns writes a token of a ServiceAccount to the file that the variables name.
func (env *environment) setOIDC() (writeToken func(serviceAccount string)) {
	env.Helper()
	const (
		provider = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
		issuer   = "https://oidc.example.com/c1"
		subjects = "system:serviceaccount:shop:"
		audience = "sts.aliyuncs.com"
	)
	tokens, err := stsemulator.NewIssuer(issuer)
	env.must(err)
	env.emulator.AddOIDCProvider(tokens.Provider(provider, audience))
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{
		Federated:    []string{provider},
		StringEquals: map[string][]string{"oidc:iss": {issuer}, "oidc:aud": {audience}, "oidc:sub": {subjects + "orders"}},
	}}})
	file := filepath.Join(env.TempDir(), "token")
	for variable, value := range map[string]string{
		"ROLE_ARN": role, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": file, "ROLE_SESSION_NAME": "shop.orders",
	} {
		env.Setenv("ALIBABA_CLOUD_"+variable, value)
	}
	return func(serviceAccount string) {
		token, err := tokens.Token(subjects+serviceAccount, audience, time.Now())
		env.must(err)
		env.must(os.WriteFile(file, []byte(token), 0o600))
	}
}

// wantCaller insists that the last call to STS was a successful GetCallerIdentity, signed with the session of an AccessKey.
func (env *environment) wantCaller(accessKeyID string) {
	env.Helper()
	calls := env.emulator.Calls()
	last := calls[len(calls)-1]
	if last.Action != "GetCallerIdentity" || last.AccessKeyID != accessKeyID || last.CallerARN != caller || last.Status != 200 {
		env.Errorf("STS got %s by %s (%s), answered %d %s; want GetCallerIdentity by %s", last.Action, last.AccessKeyID, last.CallerARN, last.Status, last.Code, accessKeyID)
	}
}

// wantRoleSession insists that the last call to STS was a successful GetCallerIdentity, signed with any session of the role.
func (env *environment) wantRoleSession() {
	env.Helper()
	calls := env.emulator.Calls()
	last := calls[len(calls)-1]
	if last.Action != "GetCallerIdentity" || last.CallerARN != caller || !strings.HasPrefix(last.AccessKeyID, "STS.") || last.Status != 200 {
		env.Errorf("STS got %s by %s, answered %d %s; want GetCallerIdentity by %s", last.Action, last.CallerARN, last.Status, last.Code, caller)
	}
}
