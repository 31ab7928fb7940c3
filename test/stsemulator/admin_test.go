// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// administer makes a request of the admin endpoint and returns status and body.
func administer(t *testing.T, emulator *stsemulator.Emulator, method, path, body string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	emulator.Admin().ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String()
}

// TestAdminTellsAStory sets everything up through the admin endpoint and uses it.
func TestAdminTellsAStory(t *testing.T) {
	h, provider := newHarness(t), newIdentityProvider(t, jose.ES256)
	admin := func(wantStatus int, method, path, body string) string {
		t.Helper()
		status, answer := administer(t, h.Emulator, method, path, body)
		if status != wantStatus {
			t.Fatalf("%s %s: %d %s, want %d", method, path, status, answer, wantStatus)
		}
		return answer
	}
	admin(200, "GET", "/healthz", "")
	var key stsemulator.AccessKey
	if err := json.Unmarshal([]byte(admin(200, "POST", "/users", `{"account":"77","name":"x"}`)), &key); err != nil {
		t.Fatal(err)
	}
	admin(204, "PUT", "/roles", `{"arn":"acs:ram::77:role/r","maxSessionDuration":"2h",
		"trust":[{"ram":["acs:ram::77:user/x"],"stringEquals":{"sts:ExternalId":["e1"]}}]}`)
	call := params{"RoleArn": "acs:ram::77:role/r", "RoleSessionName": "s1", "ExternalId": "e1", "DurationSeconds": "7200"}
	h.call(t, "AssumeRole", lasting(key), call).expect(t, 200, "")

	admin(204, "POST", "/faults", `{"kind":"Error","code":"ServiceUnavailable","action":"AssumeRole","times":1,
		"roleARN":"acs:ram::77:role/r","accessKeyID":"`+key.ID+`","message":"later"}`)
	if got := admin(200, "GET", "/faults", ""); !strings.Contains(got, `"times":1`) || strings.Contains(got, "duration") {
		t.Errorf("faults: %s", got)
	}
	h.call(t, "AssumeRole", lasting(key), call).expect(t, 503, "ServiceUnavailable")
	admin(204, "POST", "/faults", `{"kind":"ShortLifetime","duration":"1m30s"}`)
	if got := h.call(t, "AssumeRole", lasting(key), call).body.Credentials.Expiration; got != "2026-01-01T00:01:30Z" {
		t.Errorf("Expiration %s", got)
	}
	admin(204, "DELETE", "/faults", "")
	if got := admin(200, "GET", "/faults", ""); got != "[]\n" {
		t.Errorf("faults after DELETE: %s", got)
	}
	admin(204, "PATCH", "/access-keys/"+key.ID, `{"active":false}`)
	h.call(t, "AssumeRole", lasting(key), call).expect(t, 400, "InvalidAccessKeyId.Inactive")
	admin(204, "DELETE", "/access-keys/"+key.ID, "")
	h.call(t, "AssumeRole", lasting(key), call).expect(t, 404, "InvalidAccessKeyId.NotFound")
	admin(404, "DELETE", "/access-keys/"+key.ID, "")
	admin(404, "PATCH", "/access-keys/"+key.ID, `{"active":true}`)

	keys, err := json.Marshal(provider.keys)
	if err != nil {
		t.Fatal(err)
	}
	registerProvider(h.Emulator, jose.JSONWebKeySet{})
	admin(204, "PUT", "/oidc-providers", `{"arn":"`+providerARN+`","issuer":"`+issuer+`","clientIDs":["`+audience+`"],
		"jwks":`+string(keys)+`}`)
	token := provider.token(t, goodClaims(h.clock.Now()))
	h.anonymously(t, withToken(token, nil), nil).expect(t, 200, "")

	var calls []stsemulator.Call
	if err := json.Unmarshal([]byte(admin(200, "GET", "/calls", "")), &calls); err != nil || len(calls) != 6 {
		t.Errorf("%d calls, %v", len(calls), err)
	}
	admin(204, "DELETE", "/calls", "")
	admin(204, "DELETE", "/roles?arn=acs:ram::77:role/r", "")
	h.call(t, "AssumeRole", lasting(h.key), call).expect(t, 404, "EntityNotExist.Role")
}

// TestAdminRefuses gives each mistake a message that names it.
func TestAdminRefuses(t *testing.T) {
	tests := []struct{ method, path, body, want string }{
		{"POST", "/faults", `{"kind":"Error","code":"X","tims":1}`, `unknown field "tims"`},
		{"POST", "/faults", `{"kind":"Explode"}`, `kind "Explode" is none of`},
		{"POST", "/faults", `{"kind":"Error"}`, "needs a code"},
		{"POST", "/faults", `{"kind":"Partial","missing":"All"}`, `missing "All" is none of`},
		{"POST", "/faults", `{"kind":"Hang","times":-1}`, "times is negative"},
		{"POST", "/faults", `{"kind":"Latency"}`, "needs a duration"},
		{"POST", "/faults", `{"kind":"Latency","duration":"soon"}`, `invalid duration`},
		{"POST", "/faults", `{"kind":`, "error"},
		{"POST", "/users", `{"name":"x"}`, "account is required"},
		{"POST", "/users", `{"account":"1"}`, "either name or root"},
		{"POST", "/users", `{"account":"1","name":"x","root":true}`, "either name or root"},
		{"POST", "/users", `{"account":"1","name":"x","accessKeyId":"a"}`, "go together"},
		{"PATCH", "/access-keys/a", `{}`, "active is required"},
		{"PUT", "/roles", `{"arn":"orders"}`, "not of the form"},
		{"PUT", "/roles", `{"arn":"acs:ram::1:role/x","maxSessionDuration":"13h"}`, "not within 1h and 12h"},
		{"PUT", "/roles", `{"arn":"acs:ram::1:role/x","trust":[{"service":["ecs"]}]}`, `unknown field`},
		{"PUT", "/oidc-providers", `{"arn":"c1"}`, "not of the form"},
		{"PUT", "/oidc-providers", `{"arn":"acs:ram::1:oidc-provider/c1"}`, "either jwks or jwksURL"},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			status, body := administer(t, stsemulator.New(stsemulator.Options{}), test.method, test.path, test.body)
			var refusal struct{ Error string }
			if err := json.Unmarshal([]byte(body), &refusal); err != nil || status != http.StatusBadRequest ||
				!strings.Contains(refusal.Error, test.want) {
				t.Errorf("%s %s %s: %d %q, want %q", test.method, test.path, test.body, status, refusal.Error, test.want)
			}
		})
	}
}

// TestLoad starts an emulator from a seed, then makes every mistake there is in one.
func TestLoad(t *testing.T) {
	h := newHarness(t)
	err := h.Load([]byte(`
users:
- {account: "77", name: x, accessKeyId: testid, accessKeySecret: testsecret}
- {account: "77", root: true, accessKeyId: rootid, accessKeySecret: rootsecret}
roles:
- arn: acs:ram::77:role/r
  trust: [{ram: ["acs:ram::77:root"]}]
oidcProviders:
- arn: acs:ram::77:oidc-provider/c1
  issuer: https://example.com
  clientIDs: [sts.aliyuncs.com]
  jwksURL: https://example.com/jwks
`))
	if err != nil {
		t.Fatal(err)
	}
	call := params{"RoleArn": "acs:ram::77:role/r", "RoleSessionName": "s1"}
	h.call(t, "AssumeRole", triple{id: "testid", secret: "testsecret"}, call).expect(t, 200, "")
	h.call(t, "AssumeRole", triple{id: "rootid", secret: "rootsecret"}, call).expect(t, 403, "NoPermission")

	for _, seed := range []string{
		"user: []", "users: [{name: x}]", "roles: [{arn: x}]", "oidcProviders: [{arn: x}]", "users: [", "roles: {}",
	} {
		if h.Load([]byte(seed)) == nil {
			t.Errorf("%q was accepted", seed)
		}
	}
}

// TestConcurrentCalls has the race detector watch everything at once.
func TestConcurrentCalls(t *testing.T) {
	h := newHarness(t)
	const callers, rounds = 8, 10
	requests := make([][]*http.Request, callers)
	for i := range requests {
		for range rounds {
			requests[i] = append(requests[i], h.signed(t, "AssumeRole", lasting(h.key), assume(nil)))
		}
	}
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultClockSkew, Duration: time.Second})
	done := make(chan struct{})
	for i := range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			for _, request := range requests[i] {
				h.send(t, request).expect(t, 200, "")
				h.AddUser(account, "another")
				h.SetKeyActive(h.key.ID, true)
				h.AddRole(stsemulator.Role{ARN: roleARN, Trust: trustAccount()})
				h.Inject(stsemulator.Fault{Kind: stsemulator.FaultHang, RoleARN: "none", Times: 1})
				h.step(time.Millisecond)
				_, _ = h.Calls(), h.Faults()
			}
		}()
	}
	for range callers {
		<-done
	}
	if got := len(h.Calls()); got != callers*rounds {
		t.Errorf("%d calls recorded, want %d", got, callers*rounds)
	}
}
