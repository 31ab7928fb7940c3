// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// TestDocumentedErrors lists every code with its documented status, scripted by code alone.
func TestDocumentedErrors(t *testing.T) {
	for code, status := range map[string]int{
		"InvalidParameter.DurationSeconds": 400, "InvalidParameter.RoleArn": 400, "InvalidParameter.RoleSessionName": 400,
		"InvalidParameter.ExternalId": 400, "InvalidParameter.PolicyGrammar": 400, "InvalidParameter.PolicySize": 400,
		"NoPermission": 403, "EntityNotExist.Role": 404, "AuthenticationFail.NoPermission": 401,
		"AuthenticationFail.OIDCToken.AudienceNotMatch": 401, "AuthenticationFail.OIDCToken.Expired": 401,
		"AuthenticationFail.OIDCToken.InvalidSignature": 401, "AuthenticationFail.OIDCToken.Invalid": 401,
		"InvalidAccessKeyId.NotFound": 404, "InvalidAccessKeyId.Inactive": 400, "SignatureDoesNotMatch": 400,
		"SignatureNonceUsed": 400, "InvalidTimeStamp.Expired": 400, "InvalidTimeStamp.Format": 400,
		"InvalidSecurityToken.Expired": 400, "InvalidSecurityToken.Malformed": 400,
		"InvalidSecurityToken.MismatchWithAccessKey": 400, "Throttling": 400, "Throttling.User": 400,
		"Throttling.Api": 400, "InternalError": 500, "ServiceUnavailable": 503, "Some.NewCode": 400,
	} {
		t.Run(code, func(t *testing.T) {
			h := newHarness(t)
			h.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: code})
			got := h.call(t, "AssumeRole", lasting(h.key), assume(nil))
			got.expect(t, status, code)
			if got.body.Message == "" {
				t.Error("no message")
			}
			if calls := h.Calls(); calls[0].Code != code || calls[0].Status != status {
				t.Errorf("recorded %+v", calls)
			}
		})
	}
}

func TestFaultsChooseTheirCalls(t *testing.T) {
	const other = "acs:ram::" + account + ":role/other"
	h := newHarness(t)
	h.AddRole(stsemulator.Role{ARN: other, Trust: trustAccount()})
	second := h.AddUser(account, "second")
	assumeOther := assume(params{"RoleArn": other})
	tests := []struct {
		name                           string
		fault                          stsemulator.Fault
		role, otherRole, identity, key bool // which calls it hits
	}{
		{"any call", stsemulator.Fault{}, true, true, true, true},
		{"an action", stsemulator.Fault{Action: "AssumeRole"}, true, true, false, true},
		{"a role", stsemulator.Fault{RoleARN: other}, false, true, false, false},
		{"a key", stsemulator.Fault{AccessKeyID: second.ID}, false, false, false, true},
		{"a role and a key", stsemulator.Fault{RoleARN: other, AccessKeyID: second.ID}, false, false, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h.Clear()
			test.fault.Kind, test.fault.Code = stsemulator.FaultError, "ServiceUnavailable"
			h.Inject(test.fault)
			for _, call := range []struct {
				action string
				caller stsemulator.AccessKey
				params params
				hit    bool
			}{
				{"AssumeRole", h.key, assume(nil), test.role},
				{"AssumeRole", h.key, assumeOther, test.otherRole},
				{"GetCallerIdentity", h.key, nil, test.identity},
				{"AssumeRole", second, assume(nil), test.key},
			} {
				got := h.call(t, call.action, lasting(call.caller), call.params)
				if (got.status == 503) != call.hit {
					t.Errorf("%s %v: status %d, hit wanted: %t", call.action, call.params, got.status, call.hit)
				}
			}
		})
	}
}

func TestFaultsTakeTurns(t *testing.T) {
	h := newHarness(t)
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InternalError", Times: 2})
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "NoPermission", Message: "not today", Times: 1})
	for _, want := range []string{"InternalError", "InternalError", "NoPermission", ""} {
		got := h.call(t, "AssumeRole", lasting(h.key), assume(nil))
		if got.body.Code != want {
			t.Errorf("got %q, want %q", got.body.Code, want)
		}
		if want == "NoPermission" && got.body.Message != "not today" {
			t.Errorf("message %q", got.body.Message)
		}
	}
	if left := h.Faults(); len(left) != 0 {
		t.Errorf("faults left: %v", left)
	}
}

func TestThrottleFollowsTheClock(t *testing.T) {
	h := newHarness(t)
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultThrottle, CallsPerSecond: 2})
	identify := func() answer { return h.call(t, "GetCallerIdentity", lasting(h.key), nil) }
	identify().expect(t, 200, "")
	h.step(600 * time.Millisecond)
	identify().expect(t, 200, "")
	refused := identify()
	refused.expect(t, 400, "Throttling.User")
	if got := refused.header.Get("x-ratelimit-user"); got != "Limit:2,Remain:0,TimeLeft:400" {
		t.Errorf("x-ratelimit-user is %q", got)
	}
	h.step(400 * time.Millisecond)
	identify().expect(t, 200, "")
	identify().expect(t, 400, "Throttling.User")
	h.step(time.Second)
	identify().expect(t, 200, "")
}

func TestPartialAnswers(t *testing.T) {
	for _, missing := range []string{"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Credentials"} {
		t.Run(missing, func(t *testing.T) {
			h := newHarness(t)
			h.Inject(stsemulator.Fault{Kind: stsemulator.FaultPartial, Missing: missing, Times: 1})
			h.call(t, "GetCallerIdentity", lasting(h.key), nil).expect(t, 200, "") // not what it is for
			got := h.call(t, "AssumeRole", lasting(h.key), assume(nil))
			got.expect(t, 200, "")
			if strings.Contains(got.raw, `"`+missing+`"`) {
				t.Errorf("%s is there: %s", missing, got.raw)
			}
			if parts := strings.Count(got.raw, `":"`); missing != "Credentials" && parts != 6 {
				t.Errorf("more than %s is missing: %s", missing, got.raw)
			}
			if next := h.mustIssue(t, nil); !strings.Contains(next.raw, `"`+missing+`"`) {
				t.Errorf("%s is still missing: %s", missing, next.raw)
			}
		})
	}
}

func TestTimesFaults(t *testing.T) {
	h := newHarness(t)
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultBadExpiration, Times: 1})
	if got := h.mustIssue(t, nil).body.Credentials.Expiration; got != "in a while" {
		t.Errorf("Expiration %q can be read", got)
	}

	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, Duration: time.Minute, Times: 1})
	short := h.mustIssue(t, params{"DurationSeconds": "3600"})
	if got := short.body.Credentials.Expiration; got != "2026-01-01T00:01:00Z" {
		t.Errorf("Expiration %s, want a minute from now", got)
	}
	h.step(time.Minute)
	h.call(t, "GetCallerIdentity", short.triple(), nil).expect(t, 400, "InvalidSecurityToken.Expired")

	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultClockSkew, Duration: 10 * time.Minute})
	ahead := h.mustIssue(t, nil)
	if got := ahead.body.Credentials.Expiration; got != "2026-01-01T01:11:00Z" {
		t.Errorf("Expiration %s, want it 10 minutes ahead", got)
	}
	if got := ahead.header.Get("Date"); got != "Thu, 01 Jan 2026 00:11:00 GMT" {
		t.Errorf("Date %s, want it 10 minutes ahead", got)
	}
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultClockSkew, Duration: 10 * time.Minute}) // 20 in all
	h.call(t, "AssumeRole", lasting(h.key), assume(nil)).expect(t, 400, "InvalidTimeStamp.Expired")
	h.Clear()
	h.mustIssue(t, nil)
}

func TestLatencyDelaysAndLetsThrough(t *testing.T) {
	h := newHarness(t)
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultLatency, Duration: time.Millisecond})
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultEmpty, Times: 1})
	got := h.call(t, "AssumeRole", lasting(h.key), assume(nil))
	if got.status != 200 || got.raw != "" {
		t.Errorf("got %d %q, want an empty answer", got.status, got.raw)
	}
	h.mustIssue(t, nil)
}

func TestReplaceTakesTheOthersAway(t *testing.T) {
	h := newHarness(t)
	h.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InternalError"})
	h.Replace(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "ServiceUnavailable", Times: 1}, stsemulator.Fault{Kind: stsemulator.FaultEmpty})
	for _, want := range []struct {
		status int
		code   string
	}{{503, "ServiceUnavailable"}, {200, ""}} {
		h.call(t, "AssumeRole", lasting(h.key), assume(nil)).expect(t, want.status, want.code)
	}
	if got := h.Faults(); len(got) != 1 || got[0].Kind != stsemulator.FaultEmpty {
		t.Errorf("in force: %+v", got)
	}
}
