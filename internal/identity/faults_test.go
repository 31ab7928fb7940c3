// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Responses without a clear client error: of a gateway, partial, or a server error.
var passingAnswers = map[string]struct {
	status int
	body   string
}{
	"an HTML 502":                  {http.StatusBadGateway, "<html>hush</html>"},
	"an HTML 403 of a proxy":       {http.StatusForbidden, "<html>hush</html>"},
	"a partial response":           {http.StatusOK, `{"RequestId":"R-1","Credentials":{"AccessKeyId":"STS.hu`},
	"an empty answer":              {http.StatusOK, ""},
	"a response without AccessKey": {http.StatusOK, `{"RequestId":"R-1","hush":{}}`},
	"an answer without Expiration": {http.StatusOK, `{"Credentials":{"AccessKeyId":"STS.hush","AccessKeySecret":"hush","SecurityToken":"hush"}}`},
	"InternalServerError":          {http.StatusInternalServerError, `{"RequestId":"R-1","Code":"InternalServerError","Message":"hush"}`},
	"InternalError":                {http.StatusInternalServerError, `{"RequestId":"R-1","Code":"InternalError","Message":"hush"}`},
	"a code that is not known":     {http.StatusInternalServerError, `{"RequestId":"R-1","Code":"Novelty.Entirely","Message":"hush"}`},
	"a throttled call":             {http.StatusBadRequest, `{"RequestId":"R-1","Code":"Throttling.User","Message":"hush"}`},
}

// TestUnclearErrorsAreTransient checks every source that makes calls.
func TestUnclearErrorsAreTransient(t *testing.T) {
	sources := map[string]func(t *testing.T, server *httptest.Server){
		"RRSA": func(t *testing.T, _ *httptest.Server) {
			environment(t, map[string]string{
				"ROLE_ARN": roleARN, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), "t"),
			})
		},
		"the credentials URI": func(t *testing.T, server *httptest.Server) {
			environment(t, map[string]string{"CREDENTIALS_URI": server.URL + "/hush"})
		},
	}
	for source, configure := range sources {
		for name, c := range passingAnswers {
			t.Run(source+": "+name, func(t *testing.T) {
				server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(c.body))
				}))
				defer server.Close()
				configure(t, server)
				operator, _ := operatorOn(t, server)
				_, err := operator.Credentials(context.Background())
				checkError(t, err)
				var unavailable *identity.UnavailableError
				if !errors.As(err, &unavailable) || unavailable.Class != sts.Transient {
					t.Errorf("got %v, want it transient", err)
				}
			})
		}
	}
}

// Errors that a setting causes, and refusals of STS with a code, need a person.
func TestClientErrorsOfTheOperatorsOwnCallAreRefused(t *testing.T) {
	emulator, server := newSTS(t)
	environment(t, map[string]string{
		"ROLE_ARN": roleARN, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), clusterToken(t, emulator)),
	})
	operator, _ := operatorOn(t, server)
	expectUnavailable(t, operator, strings.Repeat("x", 20), sts.Refused, "EntityNotExist.Role")
	environment(t, map[string]string{"CREDENTIALS_URI": "no-scheme/hush"})
	operator, _ = operatorOn(t, server)
	expectUnavailable(t, operator, strings.Repeat("x", 20), sts.Refused, "the credentials URI: the URI returned no credentials. Check that")
}

// TestTemporaryAccessKeyWithoutTokenMakesNoCall checks every source: none makes a call with it, and the message names
// the variable.
func TestTemporaryAccessKeyWithoutTokenMakesNoCall(t *testing.T) {
	const id, secret = "STS.NTHushHushHushHushHush", "HushHushHush"
	uri := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Code":"Success","AccessKeyId":"` + id + `","AccessKeySecret":"` + secret + `","SecurityToken":"","Expiration":"2099-01-01T00:00:00Z"}`))
	}))
	defer uri.Close()
	for name, c := range map[string]struct {
		variables map[string]string
		files     map[string]string
		atStart   bool
	}{
		"environment variables": {variables: map[string]string{"ACCESS_KEY_ID": id, "ACCESS_KEY_SECRET": secret}, atStart: true},
		"the config file of the aliyun CLI": {files: map[string]string{
			".aliyun/config.json": `{"current":"x","profiles":[{"name":"x","mode":"AK","access_key_id":"` + id + `","access_key_secret":"` + secret + `"}]}`,
		}},
		"the credentials file": {files: map[string]string{
			".alibabacloud/credentials": "[default]\ntype = access_key\naccess_key_id = " + id + "\naccess_key_secret = " + secret + "\n",
		}},
		"the credentials URI": {variables: map[string]string{"CREDENTIALS_URI": uri.URL}},
	} {
		t.Run(name, func(t *testing.T) {
			home := environment(t, c.variables)
			for path, text := range c.files {
				write(t, filepath.Join(home, path), text)
			}
			if err := identity.CheckEnvironment(); (err != nil) != c.atStart {
				t.Errorf("at start: %v", err)
			}
			emulator, server := newSTS(t)
			operator, _ := operatorOn(t, server)
			err := operator.Identify(context.Background())
			checkError(t, err)
			var unavailable *identity.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Class != sts.Refused || unavailable.Source != name {
				t.Errorf("got %v", err)
			}
			for _, want := range []string{"ALIBABA_CLOUD_SECURITY_TOKEN", "security token"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it says: %v\nwant: %s", err, want)
				}
			}
			if calls := emulator.Calls(); len(calls) != 0 {
				t.Errorf("%d calls were made", len(calls))
			}
		})
	}
}

// The code that STS documents, for example for a RAM role profile with such an AccessKey.
func TestMissingSecurityTokenIsOfTheIdentity(t *testing.T) {
	emulator, server := newSTS(t)
	user := emulator.AddUser(account, "operator")
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/operator"}}}})
	triple := tripleFor(t, server, user)
	triple.SecurityToken = ""
	_, client := operatorOn(t, server)
	_, err := client.AssumeRole(context.Background(), triple, request)
	var failed *sts.Error
	if !errors.As(err, &failed) || failed.Code != "MissingSecurityToken" || failed.Reason != sts.ReasonIdentityUnavailable ||
		!strings.Contains(err.Error(), "ALIBABA_CLOUD_SECURITY_TOKEN") {
		t.Errorf("got %v", err)
	}
}
