// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestCodesAreClassified(t *testing.T) {
	for _, c := range []struct {
		code   string
		class  sts.Class
		reason string
		next   string
	}{
		{"InvalidParameter.DurationSeconds", sts.Refused, sts.ReasonRoleRefused, "spec.duration (1h) exceeds MaxSessionDuration of role " + roleARN + ". Lower spec.duration, or raise MaxSessionDuration in RAM"},
		{"InvalidParameter.PolicyGrammar", sts.Invalid, sts.ReasonInvalidSpec, "policy"},
		{"InvalidParameter.PolicySize", sts.Invalid, sts.ReasonInvalidSpec, "2048"},
		{"InvalidParameter.RoleArn", sts.Invalid, sts.ReasonInvalidSpec, "acs:ram::"},
		{"InvalidParameter.RoleSessionName", sts.Invalid, sts.ReasonInvalidSpec, `session name "shop.orders-reader" is malformed`},
		{"InvalidParameter.ExternalId", sts.Invalid, sts.ReasonInvalidSpec, "spec.externalID"},
		{"InvalidParameter.SourceIdentity", sts.Invalid, sts.ReasonInvalidSpec, "spec.sourceIdentity"},
		{"InvalidParameter.Novelty", sts.Invalid, sts.ReasonInvalidSpec, "the code names"},
		{"InvalidParameter", sts.Invalid, sts.ReasonInvalidSpec, "the parameter that the code names"},
		{"NoPermission", sts.Refused, sts.ReasonRoleRefused, "trust policy of " + roleARN},
		{"EntityNotExist.Role", sts.Refused, sts.ReasonRoleRefused, roleARN + " does not exist"},
		{"AuthenticationFail.NoPermission", sts.Refused, sts.ReasonRoleRefused, "oidc:sub"},
		{"AuthenticationFail.OIDCToken.AudienceNotMatch", sts.Refused, sts.ReasonRoleRefused, "sts.aliyuncs.com"},
		{"AuthenticationFail.OIDCToken.InvalidSignature", sts.Refused, sts.ReasonRoleRefused, "fingerprint"},
		{"AuthenticationFail.OIDCToken.Expired", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "expired"},
		{"SignatureDoesNotMatch", sts.Refused, sts.ReasonIdentityUnavailable, "secret does not belong"},
		{"IncompleteSignature", sts.Refused, sts.ReasonIdentityUnavailable, "signature"},
		{"InvalidTimeStamp.Expired", sts.Refused, sts.ReasonIdentityUnavailable, "NTP"},
		{"InvalidTimeStamp.Format", sts.Refused, sts.ReasonIdentityUnavailable, "NTP"},
		{"SignatureNonceUsed", sts.Transient, sts.ReasonSTSUnavailable, "the operator retries"},
		{"InvalidAccessKeyId.NotFound", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "deleted"},
		{"InvalidAccessKeyId.Inactive", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "disabled"},
		{"InvalidSecurityToken.Expired", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "fetches new ones"},
		{"InvalidSecurityToken.Malformed", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "fetches new ones"},
		{"InvalidSecurityToken.MismatchWithAccessKey", sts.StaleIdentity, sts.ReasonIdentityUnavailable, "fetches new ones"},
		{"Throttling", sts.Throttled, sts.ReasonThrottled, "--sts-qps"},
		{"Throttling.User", sts.Throttled, sts.ReasonThrottled, "--sts-qps"},
		{"Throttling.Api", sts.Throttled, sts.ReasonThrottled, "--sts-qps"},
		{"Throttling.Novelty", sts.Throttled, sts.ReasonThrottled, "--sts-qps"},
		{"MissingSecurityToken", sts.Refused, sts.ReasonIdentityUnavailable, "ALIBABA_CLOUD_SECURITY_TOKEN"},
		{"InternalServerError", sts.Transient, sts.ReasonSTSUnavailable, "contact Alibaba Cloud support with RequestId "},
		{"InternalError", sts.Transient, sts.ReasonSTSUnavailable, "support"},
		{"ServiceUnavailable", sts.Transient, sts.ReasonSTSUnavailable, "support"},
		{"Novelty.Entirely", sts.Refused, sts.ReasonRoleRefused, "does not know"},
	} {
		t.Run(c.code, func(t *testing.T) {
			w := newEnvironment(t)
			w.emulator.Inject(stsemulator.Fault{
				Kind: stsemulator.FaultError, Code: c.code, Message: "words of STS's own",
			})
			e := assume(context.Background(), w.client(t), w.keys)
			if e == nil || e.Code != c.code || e.Class != c.class || e.Reason != c.reason {
				t.Fatalf("got %+v", e)
			}
			want := "AssumeRole: " + c.code + " (RequestId " + w.emulator.Calls()[0].RequestID + "): " + e.NextStep
			if e.Error() != want || !strings.Contains(e.NextStep, c.next) {
				t.Errorf("the error is: %s\nwant: %s, with %q", e, want, c.next)
			}
			if strings.Contains(e.Error(), "STS's own") {
				t.Errorf("it repeats STS: %s", e)
			}
		})
	}
}

func TestNoPermissionNamesTheCaller(t *testing.T) {
	const attach = " --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess "
	longest := "acs:ram::" + account + ":user/" + strings.Repeat("u", 64)
	w := newEnvironment(t)
	client := w.client(t)
	stranger := w.emulator.AddUser(account, "stranger")
	root := w.emulator.AddRootKey(account)
	for _, c := range []struct {
		name   string
		keys   stsemulator.AccessKey
		caller string
		want   []string
	}{
		{"a caller unknown", stranger, "", []string{
			"Add the caller to the trust policy of " + roleARN, "AttachPolicyToUser" + attach + "--UserName <user name>", `"RAM":["acs:ram::<account ID>`,
		}},
		{"a user", stranger, "acs:ram::1:user/stranger@corp", []string{
			"Add acs:ram::1:user/stranger@corp to the trust policy of " + roleARN,
			`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["acs:ram::1:user/stranger@corp"]}}`,
			"aliyun ram AttachPolicyToUser" + attach + "--UserName stranger@corp", "main account's",
		}},
		{"a session is trusted as its role", stranger, "acs:ram::1:assumed-role/op/session", []string{
			"Add acs:ram::1:role/op to the trust policy", `"RAM":["acs:ram::1:role/op"]`, "aliyun ram AttachPolicyToRole" + attach + "--RoleName op",
		}},
		{"a long name", stranger, longest, []string{longest}},
		{"a malformed ARN", stranger, "<script>", []string{"Add the caller to"}},
		{"the main account's key", root, "acs:ram::1:root", []string{"main account", "Use a RAM user's"}},
		{"the main account, in other words of STS", stranger, "acs:ram::1:root", []string{"main account", "Use a RAM user's"}},
		{"the main account, by STS's words alone", root, "", []string{"main account", "Use a RAM user's"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := assume(context.Background(), client, credentials.Credentials{AccessKeyID: c.keys.ID, AccessKeySecret: c.keys.Secret})
			if e == nil || e.Code != "NoPermission" {
				t.Fatalf("got %v", e)
			}
			got := e.WithCaller(c.caller).Error()
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the error is: %s\nwant: %s", got, want)
				}
			}
			if len(got) > 900 {
				t.Errorf("%d characters: %s", len(got), got)
			}
		})
	}
}

func TestThrottlingSetsRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		want   time.Duration
	}{
		"as announced":     {"Limit:100,Remain:0,TimeLeft:2500", 2500 * time.Millisecond},
		"not announced":    {"", 0},
		"announced oddly":  {"TimeLeft:soon", 0},
		"before the epoch": {"TimeLeft:-5", 0},
		"beyond an hour":   {"TimeLeft:9223372036854775807", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("x-ratelimit-user", c.header)
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = w.Write([]byte(`{"Code":"Throttling.User","Message":"m","RequestId":"R-1"}`))
			})
			if e := assume(context.Background(), client, anyKeys); e == nil || e.Class != sts.Throttled || e.RetryAfter != c.want {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// The texts hold nothing of a response that is not of STS.
func TestUnexpectedResponses(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	for name, c := range map[string]struct {
		status int
		body   string
		code   string
		class  sts.Class
	}{
		"a 502 page":                   {502, "<html>hush</html>", "", sts.Transient},
		"a 403 page of a proxy":        {403, "<html>hush</html>", "", sts.Transient},
		"an empty 200":                 {200, "", "", sts.Transient},
		"null":                         {200, "null", "", sts.Transient},
		"a list":                       {200, "[1]", "", sts.Transient},
		"JSON without a RequestId":     {200, `{"hush":true}`, "", sts.Transient},
		"a code, yet not STS's":        {403, `{"Code":"NoPermission"}`, "", sts.Transient},
		"only a RequestId":             {200, `{"RequestId":"R-1"}`, "", sts.Transient},
		"an error without a code":      {400, `{"RequestId":"R-1","Message":"hush"}`, "", sts.Transient},
		"a malformed code":             {400, `{"RequestId":"R-1","Code":"hush hush"}`, "", sts.Transient},
		"a code that is an object":     {400, `{"RequestId":"R-1","Code":{"hush":1}}`, "", sts.Transient},
		"fields of other types":        {200, `{"RequestId":"R-1","Credentials":["hush"]}`, "", sts.Transient},
		"a number for an id":           {200, `{"RequestId":1}`, "", sts.Transient},
		"too long":                     {200, `{"RequestId":"R-1","x":"` + long + `"}`, "", sts.Transient},
		"a redirect":                   {302, "", "", sts.Transient},
		"an unknown code, 2xx":         {200, `{"RequestId":"R-1","Code":"Novelty"}`, "", sts.Transient},
		"an unknown code, 5xx":         {500, `{"RequestId":"R-1","Code":"Novelty"}`, "Novelty", sts.Transient},
		"an unknown code, 4xx":         {418, `{"RequestId":"R-1","Code":"Novelty"}`, "Novelty", sts.Refused},
		"a known code, unusual status": {599, `{"RequestId":"R-1","Code":"NoPermission"}`, "NoPermission", sts.Refused},
		"a code and a malformed ID":    {400, `{"RequestId":"hush hush","Code":"NoPermission"}`, "NoPermission", sts.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					t.Errorf("followed to %s", r.URL.Path)
				}
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Content-Type", "text/xml;charset=utf-8") // as some gateways send with JSON
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			e := assume(context.Background(), client, anyKeys)
			if e == nil || e.Code != c.code || e.Class != c.class {
				t.Fatalf("got %+v", e)
			}
			if strings.Contains(e.Error(), "hush") {
				t.Errorf("the error is: %s", e)
			}
		})
	}
}
