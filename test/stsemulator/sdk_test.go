// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// sdkClient is the Go STS SDK, pointed at an emulator. It signs with the real time.
func sdkClient(t *testing.T, server *httptest.Server, caller triple) *sts.Client {
	t.Helper()
	config := &openapiutil.Config{
		Protocol:        dara.String("http"),
		Endpoint:        dara.String(strings.TrimPrefix(server.URL, "http://")),
		AccessKeyId:     dara.String(caller.id),
		AccessKeySecret: dara.String(caller.secret),
	}
	if caller.token != "" {
		config.Type = dara.String("sts")
		config.SecurityToken = dara.String(caller.token)
	}
	client, err := sts.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Client.DisableSDKError = dara.Bool(true)
	return client
}

func assumeRequest() *sts.AssumeRoleRequest {
	return &sts.AssumeRoleRequest{
		RoleArn: dara.String(roleARN), RoleSessionName: dara.String("shop.orders-reader"), DurationSeconds: dara.Int64(900),
		Policy: dara.String(strings.Replace(allowAll, `"Resource":"*"`, `"Resource":"acs:oss:*:*:b+~x é/%"`, 1)),
	}
}

// TestSDK goes from a lasting key through two roles, as the SDK does it.
func TestSDK(t *testing.T) {
	h := newHarnessBeside(t, clock.RealClock{})
	first, err := sdkClient(t, h.server, lasting(h.key)).AssumeRole(assumeRequest())
	if err != nil {
		t.Fatal(err)
	}
	issued := first.Body.Credentials
	if want := "2026-01-01T00:15:00Z"; *issued.Expiration != want {
		t.Errorf("Expiration %s, want %s", *issued.Expiration, want)
	}
	session := sdkClient(t, h.server, triple{*issued.AccessKeyId, *issued.AccessKeySecret, *issued.SecurityToken})
	caller, err := session.GetCallerIdentity()
	if err != nil {
		t.Fatal(err)
	}
	arn := "acs:ram::" + account + ":assumed-role/orders-reader/shop.orders-reader"
	if *caller.Body.Arn != arn || *caller.Body.IdentityType != "AssumedRoleUser" || *caller.Body.AccountId != account {
		t.Errorf("caller is %v", caller.Body)
	}
	if _, err := session.AssumeRole(assumeRequest()); err != nil {
		t.Errorf("an assumed role assuming a role: %v", err)
	}
	h.step(15 * time.Minute)
	if code := sdkCode(session.AssumeRole(assumeRequest())); code != "InvalidSecurityToken.Expired" {
		t.Errorf("after the end: %q", code)
	}
	checkRecord(t, h, arn)
	checkNoSecrets(t, h)
}

// checkRecord compares what TestSDK leaves behind.
func checkRecord(t *testing.T, h *harness, sessionARN string) {
	t.Helper()
	calls := h.Calls()
	if len(calls) != 4 {
		t.Fatalf("recorded %d calls, want 4", len(calls))
	}
	first, last := calls[0], calls[3]
	if first.RequestID == "" || !strings.Contains(first.UserAgent, "AlibabaCloud") {
		t.Errorf("first call recorded as %+v", first)
	}
	want := stsemulator.Call{
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Action: "AssumeRole", RoleARN: roleARN,
		SessionName: "shop.orders-reader", DurationSeconds: 900, Policy: *assumeRequest().Policy, AccessKeyID: h.key.ID,
		CallerARN: "acs:ram::" + account + ":user/operator", Status: 200,
		UserAgent: first.UserAgent, RequestID: first.RequestID,
	}
	if first != want {
		t.Errorf("first call recorded as %+v, want %+v", first, want)
	}
	if calls[2].CallerARN != sessionARN || last.CallerARN != "" || last.Code != "InvalidSecurityToken.Expired" {
		t.Errorf("session's calls recorded as %+v and %+v", calls[2], last)
	}
}

// checkNoSecrets looks for secrets and tokens in the record, then empties it.
func checkNoSecrets(t *testing.T, h *harness) {
	t.Helper()
	record, err := json.Marshal(h.Calls())
	if err != nil || strings.Contains(string(record), h.key.Secret) || strings.Contains(string(record), "CAIS") {
		t.Errorf("the record holds a secret: %s (%v)", record, err)
	}
	if h.ForgetCalls(); len(h.Calls()) != 0 {
		t.Error("calls are not forgotten")
	}
}

func TestSDKWithOIDC(t *testing.T) {
	h, provider := newHarnessBeside(t, clock.RealClock{}), newIdentityProvider(t, jose.RS256)
	registerProvider(h.Emulator, provider.keys)
	request := &sts.AssumeRoleWithOIDCRequest{
		RoleArn: dara.String(roleARN), RoleSessionName: dara.String("orders"), OIDCProviderArn: dara.String(providerARN),
		OIDCToken: dara.String(provider.token(t, goodClaims(clock.RealClock{}.Now()))),
	}
	client := sdkClient(t, h.server, triple{id: "unused", secret: "unused"})
	got, err := client.AssumeRoleWithOIDC(request)
	if err != nil {
		t.Fatal(err)
	}
	if *got.Body.OIDCTokenInfo.Subject != subject || *got.Body.Credentials.SecurityToken == "" {
		t.Errorf("got %v", got.Body)
	}
	request.OIDCToken = dara.String(provider.token(t, goodClaims(clock.RealClock{}.Now().Add(-2*time.Hour))))
	if _, err := client.AssumeRoleWithOIDC(request); sdkCode(nil, err) != "AuthenticationFail.OIDCToken.Expired" {
		t.Errorf("an expired token: %v", err)
	}
}

// sdkCode is the error code that the SDK made out; empty for none.
func sdkCode(_ *sts.AssumeRoleResponse, err error) string {
	var coded interface{ GetCode() *string }
	if errors.As(err, &coded) {
		return dara.StringValue(coded.GetCode())
	}
	return ""
}

// sdkFaultTests are the errors of the SDK for each fault.
var sdkFaultTests = []struct {
	name  string
	fault stsemulator.Fault
	want  func(*sts.AssumeRoleResponse, error) bool
}{
	{"a refusal", stsemulator.Fault{Kind: stsemulator.FaultError, Code: "EntityNotExist.Role"},
		func(_ *sts.AssumeRoleResponse, err error) bool {
			var refused *openapi.ClientError
			return errors.As(err, &refused) && *refused.Code == "EntityNotExist.Role" && *refused.StatusCode == 404
		}},
	{"a failure", stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InternalError"},
		func(_ *sts.AssumeRoleResponse, err error) bool {
			var failed *openapi.ServerError
			return errors.As(err, &failed) && *failed.StatusCode == 500 && *failed.RequestId != ""
		}},
	{"throttling", stsemulator.Fault{Kind: stsemulator.FaultThrottle},
		func(_ *sts.AssumeRoleResponse, err error) bool {
			var throttled *openapi.ThrottlingError
			return errors.As(err, &throttled) && *throttled.Code == "Throttling.User" && *throttled.RetryAfter == 1000
		}},
	{"throttling with a wait", stsemulator.Fault{
		Kind: stsemulator.FaultError, Code: "Throttling.Api", Duration: 30 * time.Second,
	}, func(_ *sts.AssumeRoleResponse, err error) bool {
		var throttled *openapi.ThrottlingError
		return errors.As(err, &throttled) && *throttled.Code == "Throttling.Api" && *throttled.RetryAfter == 30_000
	}},
	{"an empty answer", stsemulator.Fault{Kind: stsemulator.FaultEmpty},
		func(got *sts.AssumeRoleResponse, err error) bool { return err == nil && got.Body == nil }},
	{"a proxy's page", stsemulator.Fault{Kind: stsemulator.FaultBadGateway},
		func(_ *sts.AssumeRoleResponse, err error) bool {
			var syntax *json.SyntaxError
			return errors.As(err, &syntax)
		}},
	{"a reset", stsemulator.Fault{Kind: stsemulator.FaultReset},
		func(_ *sts.AssumeRoleResponse, err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
	{"a hang", stsemulator.Fault{Kind: stsemulator.FaultHang},
		func(_ *sts.AssumeRoleResponse, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	{"a latency longer than patience", stsemulator.Fault{Kind: stsemulator.FaultLatency, Duration: time.Hour},
		func(_ *sts.AssumeRoleResponse, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
}

// TestSDKMeetsFaults sees each fault with the eyes of the SDK.
func TestSDKMeetsFaults(t *testing.T) {
	for _, test := range sdkFaultTests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarnessBeside(t, clock.RealClock{})
			h.Inject(test.fault)
			patience := 5 * time.Second
			if test.fault.Kind == stsemulator.FaultHang || test.fault.Kind == stsemulator.FaultLatency {
				patience = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := sdkClient(t, h.server, lasting(h.key)).
				AssumeRoleWithContext(ctx, assumeRequest(), &dara.RuntimeOptions{})
			if !test.want(got, err) {
				t.Errorf("got %v, %v (%T)", got, err, err)
			}
			h.Clear()
			if _, err := sdkClient(t, h.server, lasting(h.key)).AssumeRole(assumeRequest()); err != nil {
				t.Errorf("after Clear: %v", err)
			}
		})
	}
}
