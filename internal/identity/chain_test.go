// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account  = "1234567890123456"
	roleARN  = "acs:ram::" + account + ":role/operator"
	provider = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
	issuer   = "https://oidc.example.com/c1"
)

// TestMain trusts httptest's certificate authority through SSL_CERT_FILE:
// credentials-go calls STS over HTTPS only, and Go reads the variable once. A proxy
// serves the address of the metadata service, and records the hosts that are called,
// except loopback.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "identity")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		server := httptest.NewTLSServer(http.NotFoundHandler())
		server.Close()
		bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		file := filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(file, bundle, 0o600); err != nil {
			panic(err)
		}
		_ = os.Setenv("SSL_CERT_FILE", file)
		metadata := httptest.NewServer(http.HandlerFunc(answerAsMetadataService))
		defer metadata.Close()
		_ = os.Setenv("HTTP_PROXY", metadata.URL)
		_ = os.Setenv("HTTPS_PROXY", metadata.URL)
		return m.Run()
	}())
}

// environment sets the variables given and clears all others that sources read.
// It returns an empty home.
func environment(t *testing.T, variables map[string]string) (home string) {
	t.Helper()
	for _, name := range []string{
		"ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "ROLE_ARN", "ROLE_SESSION_NAME", "OIDC_PROVIDER_ARN",
		"OIDC_TOKEN_FILE", "OIDC_TOKEN", "STS_REGION", "VPC_ENDPOINT_ENABLED", "PROFILE", "CONFIG_FILE",
		"CREDENTIALS_FILE", "ECS_METADATA", "CREDENTIALS_URI", "CLI_PROFILE_DISABLED",
	} {
		t.Setenv("ALIBABA_CLOUD_"+name, variables[name])
	}
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	home = t.TempDir()
	t.Setenv("HOME", home)
	return home
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newSTS is an emulated STS that is reached as credentials-go reaches it.
func newSTS(t *testing.T) (*stsemulator.Emulator, *httptest.Server) {
	t.Helper()
	emulator := stsemulator.New(stsemulator.Options{})
	server := httptest.NewTLSServer(emulator)
	t.Cleanup(server.Close)
	return emulator, server
}

func operatorOn(t *testing.T, server *httptest.Server) (*identity.Operator, *sts.Client) {
	t.Helper()
	client, err := sts.New(sts.Options{Endpoint: server.URL, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	chain := identity.Chain{Endpoint: client.Endpoint(), Region: "cn-beijing", VPC: true}
	return identity.NewOperator(identity.Options{NewFetch: chain.NewFetch, STS: client, Clock: clock.RealClock{}}), client
}

func TestChainReturnsCredentials(t *testing.T) {
	emulator, server := newSTS(t)
	user := emulator.AddUser(account, "operator")
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/operator"}}}})
	triple := tripleFor(t, server, user)
	userARN, sessionARN := "acs:ram::"+account+":user/operator", "acs:ram::"+account+":assumed-role/operator/session"
	uri := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"Code": "Success", "AccessKeyId": triple.AccessKeyID, "AccessKeySecret": triple.AccessKeySecret,
			"SecurityToken": triple.SecurityToken, "Expiration": "2099-01-01T00:00:00Z",
		})
	}))
	defer uri.Close()
	config := `{"current":"default","profiles":[{"name":"default","mode":"AK","access_key_id":"` + user.ID + `","access_key_secret":"` + user.Secret + `"}]}`
	ini := "[default]\ntype = access_key\naccess_key_id = " + user.ID + "\naccess_key_secret = " + user.Secret + "\n"

	for _, c := range []struct {
		name      string
		variables map[string]string
		files     map[string]string
		want      string
	}{
		{"an AccessKey in the environment", map[string]string{"ACCESS_KEY_ID": user.ID, "ACCESS_KEY_SECRET": user.Secret}, nil, userARN},
		{"temporary credentials in the environment", map[string]string{
			"ACCESS_KEY_ID": triple.AccessKeyID, "ACCESS_KEY_SECRET": triple.AccessKeySecret, "SECURITY_TOKEN": triple.SecurityToken,
		}, nil, sessionARN},
		{"the CLI's config file", nil, map[string]string{".aliyun/config.json": config}, userARN},
		{"a credentials file", nil, map[string]string{".alibabacloud/credentials": ini}, userARN},
		{"a credentials URI", map[string]string{"CREDENTIALS_URI": uri.URL}, nil, sessionARN},
		{"the environment goes before files", map[string]string{"ACCESS_KEY_ID": user.ID, "ACCESS_KEY_SECRET": user.Secret},
			map[string]string{".aliyun/config.json": "{"}, userARN},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := environment(t, c.variables)
			for path, text := range c.files {
				write(t, filepath.Join(home, path), text)
			}
			operator, _ := operatorOn(t, server)
			if err := operator.Identify(context.Background()); err != nil {
				t.Fatal(err)
			}
			if caller, ok := operator.Caller(); caller.ARN != c.want || caller.Account != account || !ok {
				t.Errorf("got %+v, want %s", caller, c.want)
			}
		})
	}
}

func tripleFor(t *testing.T, server *httptest.Server, key stsemulator.AccessKey) credentials.Credentials {
	t.Helper()
	_, client := operatorOn(t, server)
	session, err := client.AssumeRole(context.Background(), credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret},
		credentials.Request{RoleARN: roleARN, SessionName: "session"})
	if err != nil {
		t.Fatal(err)
	}
	return credentials.Credentials{AccessKeyID: session.AccessKeyID, AccessKeySecret: session.AccessKeySecret, SecurityToken: session.SecurityToken}
}

// The errors of credentials-go contain URLs, responses and files.
func TestChainErrorsNameTheNextStep(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	gibberish := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Code":"Success","AccessKeySecret":"hush"}`))
	}))
	defer gibberish.Close()
	_, server := newSTS(t)
	for _, c := range []struct {
		name      string
		variables map[string]string
		config    string
		class     sts.Class
		want      []string
	}{
		{"nothing is configured", nil, "", sts.Refused, []string{"RRSA", "ALIBABA_CLOUD_ACCESS_KEY_ID", "RAM role"}},
		{"a key without its secret", map[string]string{"ACCESS_KEY_ID": "hush"}, "", sts.Refused, []string{"environment variables: the AccessKey is incomplete. Set both"}},
		{"a secret without its key", map[string]string{"ACCESS_KEY_SECRET": "hush"}, "", sts.Refused, []string{"environment variables: the AccessKey is incomplete. Set both"}},
		{"incomplete RRSA", map[string]string{"OIDC_PROVIDER_ARN": provider}, "", sts.Refused, []string{"RRSA", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"}},
		{"RRSA without its file", map[string]string{"OIDC_PROVIDER_ARN": provider, "ROLE_ARN": roleARN, "OIDC_TOKEN_FILE": "/hush"}, "",
			sts.Refused, []string{"RRSA", "readable"}},
		{"a malformed config file", nil, `{"hush"`, sts.Refused, []string{"config file", "ALIBABA_CLOUD_CONFIG_FILE"}},
		{"an unknown mode", nil, `{"current":"x","profiles":[{"name":"x","mode":"hush"}]}`, sts.Refused, []string{"config file", "mode"}},
		{"a config file that is not there", map[string]string{"CONFIG_FILE": "/hush"}, "", sts.Refused, []string{"config file"}},
		{"a URI with a closed port", map[string]string{"CREDENTIALS_URI": closed.URL + "/hush"}, "", sts.Transient, []string{"credentials URI"}},
		{"a URI with a partial response", map[string]string{"CREDENTIALS_URI": gibberish.URL + "/hush"}, "", sts.Transient, []string{"credentials URI"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := environment(t, c.variables)
			if c.config != "" {
				write(t, filepath.Join(home, ".aliyun/config.json"), c.config)
			}
			operator, _ := operatorOn(t, server)
			_, err := operator.Credentials(context.Background())
			checkError(t, err)
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it says: %v\nwant: %s", err, want)
				}
			}
			var unavailable *identity.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Class != c.class {
				t.Errorf("class %v, want %v", unavailable.Class, c.class)
			}
		})
	}
}

// Profiles that assume a role learn the region from the environment only; the flags win over what was set there.
func TestChainExportsTheRegion(t *testing.T) {
	for name, given := range map[string]string{"not set": "", "set otherwise": "cn-shanghai"} {
		t.Run(name, func(t *testing.T) {
			environment(t, map[string]string{"STS_REGION": given})
			identity.Chain{Endpoint: "sts-vpc.cn-beijing.aliyuncs.com", Region: "cn-beijing", VPC: true}.NewFetch()
			region, vpc := os.Getenv("ALIBABA_CLOUD_STS_REGION"), os.Getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")
			if region != "cn-beijing" || vpc != "true" {
				t.Errorf("region %s, VPC %s", region, vpc)
			}
		})
	}
}
