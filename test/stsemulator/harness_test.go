// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/google/uuid"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account     = "1234567890123456"
	roleARN     = "acs:ram::" + account + ":role/orders-reader"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	stamp       = "2006-01-02T15:04:05Z"
)

// harness is an emulator on a stopped clock, with a role that trusts its account and a user in that account.
type harness struct {
	*stsemulator.Emulator
	clock  *testingclock.FakePassiveClock
	server *httptest.Server
	key    stsemulator.AccessKey
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	return newHarnessBeside(t, nil)
}

// newHarnessBeside checks requests against a clock of their own.
func newHarnessBeside(t *testing.T, requests clock.PassiveClock) *harness {
	t.Helper()
	clock := testingclock.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	emulator := stsemulator.New(stsemulator.Options{Clock: clock, RequestClock: requests})
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: trustAccount()})
	return &harness{emulator, clock, server, emulator.AddUser(account, "operator")}
}

func (h *harness) step(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

func trustAccount() []stsemulator.Statement {
	return []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":root"}}}
}

// triple is what a call is signed with; token is empty for a lasting key.
type triple struct{ id, secret, token string }

func lasting(key stsemulator.AccessKey) triple { return triple{id: key.ID, secret: key.Secret} }

// params are parameters of an action; an empty value leaves the parameter out.
type params map[string]string

// assume is a valid AssumeRole, with changes.
func assume(changes params) params {
	all := params{"RoleArn": roleARN, "RoleSessionName": "shop.orders-reader"}
	for name, value := range changes {
		all[name] = value
	}
	return all
}

func (p params) values() url.Values {
	values := url.Values{}
	for name, value := range p {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// answer is what came back, decoded as far as it is JSON.
type answer struct {
	status int
	header http.Header
	raw    string
	body   struct {
		Code, Message, RequestId, HostId, Recommend string                              //nolint:revive // the wire's names
		AccountId, Arn, IdentityType, PrincipalId   string                              //nolint:revive // the wire's names
		UserId, RoleId, SourceIdentity              string                              //nolint:revive // the wire's names
		AssumedRoleUser                             struct{ Arn, AssumedRoleId string } //nolint:revive // the wire's names
		Credentials                                 *struct {
			AccessKeyId, AccessKeySecret, SecurityToken, Expiration string //nolint:revive // the wire's names
		}
		OIDCTokenInfo *oidcTokenInfo
	}
}

// oidcTokenInfo is what STS says of a token.
type oidcTokenInfo struct{ Subject, Issuer, ClientIds, ExpirationTime string } //nolint:revive // the wire's names

func (a answer) triple() triple {
	c := a.body.Credentials
	return triple{c.AccessKeyId, c.AccessKeySecret, c.SecurityToken}
}

// call makes a call under the third signature version, signed by the SDK's own code. Each edit changes the headers
// before they are signed.
func (h *harness) call(t *testing.T, action string, caller triple, p params, edits ...func(map[string]*string)) answer {
	t.Helper()
	return h.send(t, h.signed(t, action, caller, p, edits...))
}

func (h *harness) signed(
	t *testing.T, action string, caller triple, p params, edits ...func(map[string]*string),
) *http.Request {
	t.Helper()
	headers := map[string]*string{
		"host":                  dara.String(strings.TrimPrefix(h.server.URL, "http://")),
		"x-acs-action":          dara.String(action),
		"x-acs-version":         dara.String("2015-04-01"),
		"x-acs-date":            dara.String(h.clock.Now().UTC().Format(stamp)),
		"x-acs-signature-nonce": dara.String(uuid.NewString()),
		"x-acs-content-sha256":  dara.String(emptySHA256),
	}
	if caller.token != "" {
		headers["x-acs-accesskey-id"] = dara.String(caller.id)
		headers["x-acs-security-token"] = dara.String(caller.token)
	}
	for _, edit := range edits {
		edit(headers)
	}
	query := map[string]*string{}
	for name, values := range p.values() {
		query[name] = dara.String(values[0])
	}
	unsigned := &dara.Request{
		Method: dara.String(http.MethodPost), Pathname: dara.String("/"), Headers: headers, Query: query,
	}
	authorization := openapiutil.GetAuthorization(unsigned, dara.String("ACS3-HMAC-SHA256"), dara.String(emptySHA256),
		dara.String(caller.id), dara.String(caller.secret))

	request := newRequest(t, h.server.URL+"/?"+p.values().Encode(), "")
	for name, value := range headers {
		request.Header.Set(name, *value)
	}
	request.Header.Set("Authorization", *authorization)
	return request
}

// callV1 makes a call under the first signature version, signed by the SDK's own code; form goes into the body.
func (h *harness) callV1(t *testing.T, action string, caller triple, p, form params, edits ...func(url.Values)) answer {
	t.Helper()
	query := p.values()
	for name, value := range map[string]string{
		"Action": action, "Version": "2015-04-01", "Format": "JSON", "AccessKeyId": caller.id,
		"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": uuid.NewString(),
		"Timestamp": h.clock.Now().UTC().Format(stamp),
	} {
		query.Set(name, value)
	}
	if caller.token != "" {
		query.Set("SecurityToken", caller.token)
	}
	for _, edit := range edits {
		edit(query)
	}
	all := map[string]*string{}
	for _, source := range []url.Values{query, form.values()} {
		for name, values := range source {
			all[name] = dara.String(values[0])
		}
	}
	query.Set("Signature", *openapiutil.GetRPCSignature(all, dara.String(http.MethodPost), dara.String(caller.secret)))
	request := newRequest(t, h.server.URL+"/?"+query.Encode(), form.values().Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("x-acs-action", action) // as the V1.0 SDKs do
	return h.send(t, request)
}

func newRequest(t *testing.T, address, body string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func (h *harness) send(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := h.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: response.StatusCode, header: response.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &got.body)
	return got
}

// mustIssue assumes the role or ends the test.
func (h *harness) mustIssue(t *testing.T, changes params) answer {
	t.Helper()
	got := h.call(t, "AssumeRole", lasting(h.key), assume(changes))
	if got.status != http.StatusOK {
		t.Fatalf("AssumeRole: %d %s", got.status, got.raw)
	}
	return got
}

// expect compares status and code; an empty code wants success.
func (a answer) expect(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || a.body.Code != code {
		t.Errorf("got %d %q, want %d %q (%s)", a.status, a.body.Code, status, code, a.body.Message)
	}
}
