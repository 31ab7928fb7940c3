// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	allowAll    = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	badDuration = "InvalidParameter.DurationSeconds"
	badGrammar  = "InvalidParameter.PolicyGrammar"
)

// sized returns a valid policy of so many characters.
func sized(length int) string {
	return strings.Replace(allowAll, `{"V`, `{`+strings.Repeat(" ", length-len(allowAll))+`"V`, 1)
}

// parameterTests change one parameter of a good call each.
var parameterTests = []struct {
	name     string
	changes  params
	wantCode string
}{
	{"only what is required", nil, ""},
	{"no role", params{"RoleArn": ""}, "MissingRoleArn"},
	{"a role's name alone", params{"RoleArn": "orders-reader"}, "InvalidParameter.RoleArn"},
	{"a user's ARN", params{"RoleArn": "acs:ram::" + account + ":user/x"}, "InvalidParameter.RoleArn"},
	{"a role with a region", params{"RoleArn": "acs:ram:cn:" + account + ":role/x"}, "InvalidParameter.RoleArn"},
	{"no session name", params{"RoleSessionName": ""}, "MissingRoleSessionName"},
	{"session name of 1", params{"RoleSessionName": "a"}, "InvalidParameter.RoleSessionName"},
	{"session name of 2", params{"RoleSessionName": "a@"}, ""},
	{"session name of 64", params{"RoleSessionName": strings.Repeat("a", 64)}, ""},
	{"session name of 65", params{"RoleSessionName": strings.Repeat("a", 65)}, "InvalidParameter.RoleSessionName"},
	{"session name with a slash", params{"RoleSessionName": "shop/orders"}, "InvalidParameter.RoleSessionName"},
	{"session name with a line's end", params{"RoleSessionName": "shop\n"}, "InvalidParameter.RoleSessionName"},
	{"899 s", params{"DurationSeconds": "899"}, badDuration},
	{"900 s", params{"DurationSeconds": "900"}, ""},
	{"3600 s", params{"DurationSeconds": "3600"}, ""},
	{"3601 s, over the role's default", params{"DurationSeconds": "3601"}, badDuration},
	{"a duration that is no number", params{"DurationSeconds": "1h"}, badDuration},
	{"a negative duration", params{"DurationSeconds": "-900"}, badDuration},
	{"a duration past counting", params{"DurationSeconds": "9223372036854775807"}, badDuration},
	{"a policy", params{"Policy": allowAll}, ""},
	{"policy of 2048", params{"Policy": sized(2048)}, ""},
	{"policy of 2049", params{"Policy": sized(2049)}, "InvalidParameter.PolicySize"},
	{"policy with lists, Not-elements and conditions", params{"Policy": `{"Version":"1","Statement":[
			{"Effect":"Allow","Action":["ots:Get*"],"Resource":["acs:ots:*:*:instance/a*"],
			 "Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}},
			{"Effect":"Deny","NotAction":"ots:Get*","NotResource":"*"}]}`}, ""},
	{"policy that is no JSON", params{"Policy": "Allow"}, badGrammar},
	{"policy that is an array", params{"Policy": "[]"}, badGrammar},
	{"policy with a tail", params{"Policy": allowAll + "}"}, badGrammar},
	{"policy twice", params{"Policy": allowAll + allowAll}, badGrammar},
	{"policy version 2", params{"Policy": strings.Replace(allowAll, `"1"`, `"2"`, 1)}, badGrammar},
	{"policy version a number", params{"Policy": strings.Replace(allowAll, `"1"`, `1`, 1)}, badGrammar},
	{"policy without statements", params{"Policy": `{"Version":"1","Statement":[]}`}, badGrammar},
	{"policy with an unknown effect", params{"Policy": strings.Replace(allowAll, "Allow", "allow", 1)}, badGrammar},
	{"policy without an action", params{"Policy": strings.Replace(allowAll, `"Action":"*",`, "", 1)}, badGrammar},
	{"policy without a resource", params{"Policy": strings.Replace(allowAll, `,"Resource":"*"`, "", 1)}, badGrammar},
	{"policy with an unknown element", params{"Policy": strings.Replace(allowAll, "{\"V", `{"Id":"1","V`, 1)},
		badGrammar},
	{"policy with an element in lower case", params{"Policy": strings.Replace(allowAll, "Effect", "effect", 1)},
		badGrammar},
	{"external id of 1", params{"ExternalId": "a"}, "InvalidParameter.ExternalId"},
	{"external id of 1224", params{"ExternalId": strings.Repeat("a", 1224)}, ""},
	{"external id of 1225", params{"ExternalId": strings.Repeat("a", 1225)}, "InvalidParameter.ExternalId"},
	{"external id with all that is allowed", params{"ExternalId": `aZ9_+=,.@:/-`}, ""},
	{"external id with a space", params{"ExternalId": "a b"}, "InvalidParameter.ExternalId"},
	{"source identity", params{"SourceIdentity": "alice@example.com"}, ""},
	{"source identity of 1", params{"SourceIdentity": "a"}, "InvalidParameter.SourceIdentity"},
	{"source identity of 65", params{"SourceIdentity": strings.Repeat("a", 65)}, "InvalidParameter.SourceIdentity"},
	{"source identity with a reserved prefix", params{"SourceIdentity": "acs:alice"},
		"InvalidParameter.SourceIdentity"},
}

// TestParameters holds every documented bound from both sides.
func TestParameters(t *testing.T) {
	for _, test := range parameterTests {
		t.Run(test.name, func(t *testing.T) {
			status := http.StatusBadRequest
			if test.wantCode == "" {
				status = http.StatusOK
			}
			h := newHarness(t)
			h.call(t, "AssumeRole", lasting(h.key), assume(test.changes)).expect(t, status, test.wantCode)
			h.callV1(t, "AssumeRole", lasting(h.key), nil, assume(test.changes)).expect(t, status, test.wantCode)
			h.callV1(t, "AssumeRole", lasting(h.key), assume(test.changes), nil).expect(t, status, test.wantCode)
		})
	}
}

func TestDurationIsBoundedByTheRole(t *testing.T) {
	h := newHarness(t)
	h.AddRole(stsemulator.Role{ARN: roleARN, MaxSessionDuration: 12 * time.Hour, Trust: trustAccount()})
	got := h.mustIssue(t, params{"DurationSeconds": "43200"})
	if want := "2026-01-01T12:00:00Z"; got.body.Credentials.Expiration != want {
		t.Errorf("Expiration %s, want %s", got.body.Credentials.Expiration, want)
	}
	if got := h.mustIssue(t, nil).body.Credentials.Expiration; got != "2026-01-01T01:00:00Z" {
		t.Errorf("without DurationSeconds the Expiration is %s, want one hour", got)
	}
	refused := h.call(t, "AssumeRole", lasting(h.key), assume(params{"DurationSeconds": "43201"}))
	refused.expect(t, 400, "InvalidParameter.DurationSeconds")
	if want := "The Min/Max value of DurationSeconds is 15min/12hr."; refused.body.Message != want {
		t.Errorf("message %q, want %q", refused.body.Message, want)
	}
}

// TestTrust asks for a role in the name of callers whom it trusts or not.
func TestTrust(t *testing.T) {
	const user, other = "acs:ram::" + account + ":user/operator", "acs:ram::" + account + ":role/other"
	guarded := stsemulator.Statement{
		RAM: []string{user}, StringEquals: map[string][]string{"sts:ExternalId": {"ticket-1", "ticket-2"}},
	}
	tests := []struct {
		name    string
		trust   []stsemulator.Statement
		changes params
		caller  func(*testing.T, *harness) triple
		want    string
	}{
		{name: "nobody trusted", want: "NoPermission"},
		{name: "the account", trust: trustAccount()},
		{name: "another account", trust: []stsemulator.Statement{{RAM: []string{"acs:ram::99:root"}}}, want: "NoPermission"},
		{name: "the user", trust: []stsemulator.Statement{{RAM: []string{user}}}},
		{name: "a later statement", trust: []stsemulator.Statement{{RAM: []string{other}}, {RAM: []string{user}}}},
		{name: "the right external id", trust: []stsemulator.Statement{guarded}, changes: params{"ExternalId": "ticket-2"}},
		{name: "a wrong external id", trust: []stsemulator.Statement{guarded}, changes: params{"ExternalId": "ticket-3"},
			want: "NoPermission"},
		{name: "no external id", trust: []stsemulator.Statement{guarded}, want: "NoPermission"},
		{name: "a condition on something unknown", want: "NoPermission", trust: []stsemulator.Statement{{
			RAM: []string{user}, StringEquals: map[string][]string{"acs:SourceIp": {"10.0.0.1"}},
		}}},
		{name: "the role whose session asks", trust: []stsemulator.Statement{{RAM: []string{other}}}, caller: chained},
		{name: "the account of the session that asks", trust: trustAccount(), caller: chained},
		{name: "a session of a role that is not trusted", trust: []stsemulator.Statement{{RAM: []string{user}}},
			caller: chained, want: "NoPermission"},
		{name: "a provider only", trust: []stsemulator.Statement{{Federated: []string{user}}}, want: "NoPermission"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.AddRole(stsemulator.Role{ARN: other, Trust: trustAccount()})
			h.AddRole(stsemulator.Role{ARN: roleARN, Trust: test.trust})
			caller := lasting(h.key)
			if test.caller != nil {
				caller = test.caller(t, h)
			}
			status := http.StatusOK
			if test.want != "" {
				status = http.StatusForbidden
			}
			h.call(t, "AssumeRole", caller, assume(test.changes)).expect(t, status, test.want)
		})
	}
}

// chained is a session of another role, which assumes the role in turn.
func chained(t *testing.T, h *harness) triple {
	return h.mustIssue(t, params{"RoleArn": "acs:ram::" + account + ":role/other"}).triple()
}

func TestRootAndMissingRoles(t *testing.T) {
	h := newHarness(t)
	refused := h.call(t, "AssumeRole", lasting(h.AddRootKey(account)), assume(nil))
	refused.expect(t, 403, "NoPermission")
	if want := "Roles may not be assumed by root accounts."; refused.body.Message != want {
		t.Errorf("message %q, want %q", refused.body.Message, want)
	}
	issued := h.mustIssue(t, nil).triple()
	h.RemoveRole(roleARN)
	h.call(t, "AssumeRole", lasting(h.key), assume(nil)).expect(t, 404, "EntityNotExist.Role")
	h.call(t, "GetCallerIdentity", issued, nil).expect(t, 200, "")
}

// TestAnswersLookLikeSTS compares forms: ids, tokens, times, headers.
func TestAnswersLookLikeSTS(t *testing.T) {
	h := newHarness(t)
	forms := map[string]*regexp.Regexp{
		"AccessKeyId":     regexp.MustCompile(`^STS\.N[A-Za-z0-9]{24}$`),
		"AccessKeySecret": regexp.MustCompile(`^\S{44}$`),
		"SecurityToken":   regexp.MustCompile(`^CAIS[A-Za-z0-9+/=]{486,726}$`),
		"Expiration":      regexp.MustCompile(`^2026-01-01T01:00:00Z$`),
		"RequestId":       regexp.MustCompile(`^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`),
		"AssumedRoleId":   regexp.MustCompile(`^3\d{17}:shop\.orders-reader$`),
	}
	for range 100 {
		got := h.mustIssue(t, params{"SourceIdentity": "alice"})
		issued := got.body.Credentials
		for name, value := range map[string]string{
			"AccessKeyId": issued.AccessKeyId, "AccessKeySecret": issued.AccessKeySecret,
			"SecurityToken": issued.SecurityToken, "Expiration": issued.Expiration,
			"RequestId": got.body.RequestId, "AssumedRoleId": got.body.AssumedRoleUser.AssumedRoleId,
		} {
			if !forms[name].MatchString(value) {
				t.Errorf("%s %q does not look like %s", name, value, forms[name])
			}
		}
		if got.header.Get("x-acs-request-id") != got.body.RequestId || got.body.SourceIdentity != "alice" {
			t.Errorf("headers %v beside %s", got.header, got.raw)
		}
		if want := roleARN + "/shop.orders-reader"; got.body.AssumedRoleUser.Arn != want {
			t.Errorf("Arn %s, want %s", got.body.AssumedRoleUser.Arn, want)
		}
	}
}

func TestGetCallerIdentity(t *testing.T) {
	h := newHarness(t)
	issued := h.mustIssue(t, nil)
	roleID, _, _ := strings.Cut(issued.body.AssumedRoleUser.AssumedRoleId, ":")
	type shape struct{ arn, kind, principal, user, role string }
	tests := map[string]struct {
		caller triple
		want   shape
	}{
		"user": {lasting(h.key), shape{arn: "acs:ram::" + account + ":user/operator", kind: "RAMUser"}},
		"root": {lasting(h.AddRootKey(account)), shape{"acs:ram::" + account + ":root", "Account", account, account, ""}},
		"session": {issued.triple(), shape{
			"acs:ram::" + account + ":assumed-role/orders-reader/shop.orders-reader", "AssumedRoleUser",
			issued.body.AssumedRoleUser.AssumedRoleId, "", roleID,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			body := h.call(t, "GetCallerIdentity", test.caller, nil).body
			got := shape{body.Arn, body.IdentityType, body.PrincipalId, body.UserId, body.RoleId}
			if name == "user" { // its id is made up: 18 digits, the same in both places
				if len(got.user) != 18 || got.user != got.principal {
					t.Errorf("UserId %q, PrincipalId %q", got.user, got.principal)
				}
				got.user, got.principal = "", ""
			}
			if got != test.want || body.AccountId != account {
				t.Errorf("got %+v of account %s, want %+v", got, body.AccountId, test.want)
			}
		})
	}
}
