// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/dara"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// TestGoldenVector replays a request of the Go SDK, byte for byte as captured.
func TestGoldenVector(t *testing.T) {
	const query = "DurationSeconds=900&Policy=%7B%22Version%22%3A%221%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22" +
		"Allow%22%2C%22Action%22%3A%22oss%3AGet%2A%22%2C%22Resource%22%3A%22acs%3Aoss%3A%2A%3A%2A%3Ab+~x%2B1%2F%C3%A9" +
		"%22%7D%5D%7D&RoleArn=acs%3Aram%3A%3A1234567890123456%3Arole%2Fadminrole&RoleSessionName=alice"
	const signature = "6bbc1fa11bbc0e238fd9d0ead2e8e820f458151eafd429802beeb59a36a1dd68"
	flip := func(text string) string { return strings.Replace(text, "6bbc", "6bbd", 1) }
	tests := []struct {
		name       string
		edit       func(*http.Request)
		wantStatus int
		wantCode   string
	}{
		{"as captured", func(*http.Request) {}, http.StatusOK, ""},
		{"one character of the signature flipped", func(r *http.Request) {
			r.Header.Set("Authorization", flip(r.Header.Get("Authorization")))
		}, http.StatusBadRequest, "SignatureDoesNotMatch"},
		{"signature cut short", func(r *http.Request) {
			r.Header.Set("Authorization", strings.TrimSuffix(r.Header.Get("Authorization"), "8"))
		}, http.StatusBadRequest, "SignatureDoesNotMatch"},
		{"a parameter changed", func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(query, "=900", "=901", 1)
		}, http.StatusBadRequest, "SignatureDoesNotMatch"},
		{"a signed header changed", func(r *http.Request) {
			r.Header.Set("x-acs-credentials-provider", "static_sts")
		}, http.StatusBadRequest, "SignatureDoesNotMatch"},
		{"another host", func(r *http.Request) { r.Host = "127.0.0.1:45116" },
			http.StatusBadRequest, "SignatureDoesNotMatch"},
		{"another method", func(r *http.Request) { r.Method = http.MethodGet },
			http.StatusBadRequest, "SignatureDoesNotMatch"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.AddUserKey("1234567890123456", "alice", stsemulator.AccessKey{ID: "testid", Secret: "testsecret"})
			h.AddRole(stsemulator.Role{ARN: "acs:ram::1234567890123456:role/adminrole", Trust: trustAccount()})
			request := newRequest(t, h.server.URL+"/?"+query, "")
			request.Host = "127.0.0.1:45115"
			for name, value := range map[string]string{
				"Authorization": "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-action;" +
					"x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;x-acs-signature-nonce;x-acs-version," +
					"Signature=" + signature,
				"x-acs-action":               "AssumeRole",
				"x-acs-content-sha256":       emptySHA256,
				"x-acs-credentials-provider": "static_ak",
				"x-acs-date":                 "2026-01-01T00:00:00Z",
				"x-acs-signature-nonce":      "0123456789abcdef0123456789abcdef",
				"x-acs-version":              "2015-04-01",
			} {
				request.Header.Set(name, value)
			}
			test.edit(request)
			h.send(t, request).expect(t, test.wantStatus, test.wantCode)
		})
	}
}

// authenticationTests change who signs, or when; without either the call is good.
var authenticationTests = []struct {
	name       string
	caller     func(*testing.T, *harness) triple
	date       func(time.Time) string
	wantStatus int
	wantCode   string
}{
	{"a lasting key", nil, nil, 200, ""},
	{"wrong secret", func(_ *testing.T, h *harness) triple { return triple{id: h.key.ID, secret: "other"} }, nil,
		400, "SignatureDoesNotMatch"},
	{"unknown key", func(*testing.T, *harness) triple { return triple{id: "LTAInobody", secret: "x"} }, nil,
		404, "InvalidAccessKeyId.NotFound"},
	{"disabled key", func(_ *testing.T, h *harness) triple {
		h.SetKeyActive(h.key.ID, false)
		return lasting(h.key)
	}, nil, 400, "InvalidAccessKeyId.Inactive"},
	{"key enabled again", func(_ *testing.T, h *harness) triple {
		h.SetKeyActive(h.key.ID, false)
		h.SetKeyActive(h.key.ID, true)
		return lasting(h.key)
	}, nil, 200, ""},
	{"deleted key", func(_ *testing.T, h *harness) triple {
		h.DeleteKey(h.key.ID)
		return lasting(h.key)
	}, nil, 404, "InvalidAccessKeyId.NotFound"},
	{"the main account's key", func(_ *testing.T, h *harness) triple { return lasting(h.AddRootKey(account)) }, nil,
		200, ""},
	{"an issued triple", func(t *testing.T, h *harness) triple { return h.mustIssue(t, nil).triple() }, nil, 200, ""},
	{"a triple a second before its end", func(t *testing.T, h *harness) triple {
		issued := h.mustIssue(t, nil).triple()
		h.step(time.Hour - time.Second)
		return issued
	}, nil, 200, ""},
	{"a triple at its end", func(t *testing.T, h *harness) triple {
		issued := h.mustIssue(t, nil).triple()
		h.step(time.Hour)
		return issued
	}, nil, 400, "InvalidSecurityToken.Expired"},
	{"a triple without its token", func(t *testing.T, h *harness) triple {
		issued := h.mustIssue(t, nil).triple()
		issued.token = ""
		return issued
	}, nil, 400, "MissingSecurityToken"},
	{"a token that is none", func(t *testing.T, h *harness) triple {
		issued := h.mustIssue(t, nil).triple()
		issued.token = "CAISnonsense"
		return issued
	}, nil, 400, "InvalidSecurityToken.Malformed"},
	{"two triples mixed", func(t *testing.T, h *harness) triple {
		older, newer := h.mustIssue(t, nil).triple(), h.mustIssue(t, nil).triple()
		newer.token = older.token
		return newer
	}, nil, 400, "InvalidSecurityToken.MismatchWithAccessKey"},
	{"a triple with another's secret", func(t *testing.T, h *harness) triple {
		older, newer := h.mustIssue(t, nil).triple(), h.mustIssue(t, nil).triple()
		newer.secret = older.secret
		return newer
	}, nil, 400, "SignatureDoesNotMatch"},
	{"a lasting key with a token", func(t *testing.T, h *harness) triple {
		return triple{h.key.ID, h.key.Secret, h.mustIssue(t, nil).triple().token}
	}, nil, 400, "InvalidSecurityToken.MismatchWithAccessKey"},
	{"15 minutes late", nil, at(-15 * time.Minute), 200, ""},
	{"15 minutes early", nil, at(15 * time.Minute), 200, ""},
	{"over 15 minutes late", nil, at(-15*time.Minute - time.Second), 400, "InvalidTimeStamp.Expired"},
	{"over 15 minutes early", nil, at(15*time.Minute + time.Second), 400, "InvalidTimeStamp.Expired"},
	{"a time in another format", nil, func(now time.Time) string { return now.Format(time.RFC1123) },
		400, "InvalidTimeStamp.Format"},
	{"a time with an offset", nil, func(now time.Time) string { return now.Format("2006-01-02T15:04:05+00:00") },
		400, "InvalidTimeStamp.Format"},
	{"no time", nil, func(time.Time) string { return "" }, 400, "MissingTimestamp"},
}

// TestAuthentication holds each check against both signature versions.
func TestAuthentication(t *testing.T) {
	for _, test := range authenticationTests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			caller := lasting(h.key)
			if test.caller != nil {
				caller = test.caller(t, h)
			}
			date := h.clock.Now().UTC().Format(stamp)
			if test.date != nil {
				date = test.date(h.clock.Now().UTC())
			}
			h.call(t, "GetCallerIdentity", caller, nil, func(headers map[string]*string) {
				headers["x-acs-date"] = dara.String(date)
			}).expect(t, test.wantStatus, test.wantCode)
			h.callV1(t, "GetCallerIdentity", caller, nil, nil, func(query url.Values) {
				query.Set("Timestamp", date)
			}).expect(t, test.wantStatus, test.wantCode)
		})
	}
}

func at(offset time.Duration) func(time.Time) string {
	return func(now time.Time) string { return now.Add(offset).Format(stamp) }
}

func TestNonceIsGoodForOneCall(t *testing.T) {
	h := newHarness(t)
	fixed := func(headers map[string]*string) { headers["x-acs-signature-nonce"] = dara.String("once") }
	h.call(t, "GetCallerIdentity", triple{id: h.key.ID, secret: "forged"}, nil, fixed).
		expect(t, 400, "SignatureDoesNotMatch") // and a forged call does not use the nonce up
	h.call(t, "GetCallerIdentity", lasting(h.key), nil, fixed).expect(t, 200, "")
	h.call(t, "GetCallerIdentity", lasting(h.key), nil, fixed).expect(t, 400, "SignatureNonceUsed")
	h.step(30 * time.Minute)
	h.call(t, "GetCallerIdentity", lasting(h.key), nil, fixed).expect(t, 400, "SignatureNonceUsed")
	h.step(time.Second)
	h.call(t, "GetCallerIdentity", lasting(h.key), nil, fixed).expect(t, 200, "")

	once := func(query url.Values) { query.Set("SignatureNonce", "v1") }
	h.callV1(t, "GetCallerIdentity", lasting(h.key), nil, nil, once).expect(t, 200, "")
	h.callV1(t, "GetCallerIdentity", lasting(h.key), nil, nil, once).expect(t, 400, "SignatureNonceUsed")
}

// TestIncompleteACS3 edits what is sent after it was signed.
func TestIncompleteACS3(t *testing.T) {
	tests := []struct {
		name       string
		edit       func(*http.Request)
		wantStatus int
		wantCode   string
	}{
		{"no Authorization", func(r *http.Request) { r.Header.Del("Authorization") }, 400, "MissingAccessKeyId"},
		{"no Signature", func(r *http.Request) {
			before, _, _ := strings.Cut(r.Header.Get("Authorization"), ",Signature")
			r.Header.Set("Authorization", before)
		}, 400, "MissingSignature"},
		{"no nonce", func(r *http.Request) { r.Header.Del("x-acs-signature-nonce") }, 400, "MissingSignatureNonce"},
		{"another algorithm", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SHA256", "SM3", 1))
		}, 400, "InvalidSignatureMethod"},
		{"an x-acs header that is not signed", func(r *http.Request) { r.Header.Set("x-acs-security-token", "t") },
			400, "IncompleteSignature"},
		{"the host not signed", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "=host;", "=", 1))
		}, 400, "IncompleteSignature"},
		{"no action", func(r *http.Request) { r.Header.Del("x-acs-action") }, 400, "MissingAction"},
		{"no version", func(r *http.Request) { r.Header.Del("x-acs-version") }, 400, "MissingVersion"},
		{"another version", func(r *http.Request) { r.Header.Set("x-acs-version", "2015-04-02") }, 400, "InvalidVersion"},
		{"unknown action", func(r *http.Request) { r.Header.Set("x-acs-action", "AssumeRoleWithSong") },
			404, "InvalidAction.NotFound"},
		{"another path", func(r *http.Request) { r.URL.Path = "/v1" }, 404, "InvalidAction.NotFound"},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405, "UnsupportedHTTPMethod"},
		{"a query that does not parse", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, 400, "MalformedQueryString"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			request := h.signed(t, "GetCallerIdentity", lasting(h.key), nil)
			test.edit(request)
			got := h.send(t, request)
			got.expect(t, test.wantStatus, test.wantCode)
			if got.body.Message == "" || got.body.RequestId == "" || got.body.HostId == "" || got.body.Recommend == "" {
				t.Errorf("the answer lacks a documented field: %s", got.raw)
			}
		})
	}
}

func TestIncompleteV1(t *testing.T) {
	tests := []struct{ name, parameter, value, wantCode string }{
		{"no key", "AccessKeyId", "", "MissingAccessKeyId"},
		{"no nonce", "SignatureNonce", "", "MissingSignatureNonce"},
		{"another method", "SignatureMethod", "HMAC-SHA256", "InvalidSignatureMethod"},
		{"another version of the signature", "SignatureVersion", "2.0", "InvalidSignatureMethod"},
		{"no action", "Action", "", "MissingAction"},
		{"no version", "Version", "", "MissingVersion"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.callV1(t, "GetCallerIdentity", lasting(h.key), nil, nil, func(query url.Values) {
				query.Set(test.parameter, test.value)
			}).expect(t, 400, test.wantCode)
		})
	}
}

// TestRequestClock lets SDKs sign with one time while a test steps STS's own.
func TestRequestClock(t *testing.T) {
	requests := testingclock.NewFakePassiveClock(time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	h := newHarnessBeside(t, requests)
	sent := at(0)(requests.Now())
	old := func(headers map[string]*string) { headers["x-acs-date"] = dara.String(sent) }

	h.step(5 * time.Hour)
	got := h.call(t, "AssumeRole", lasting(h.key), assume(nil), old)
	got.expect(t, 200, "")
	if want := "2026-01-01T06:00:00Z"; got.body.Credentials.Expiration != want {
		t.Errorf("Expiration %s, want %s", got.body.Credentials.Expiration, want)
	}
	if want := "Thu, 01 Jan 2026 05:00:00 GMT"; got.header.Get("Date") != want {
		t.Errorf("Date %s, want %s", got.header.Get("Date"), want)
	}
}
