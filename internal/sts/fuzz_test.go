// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// answer is what a server gives to every call.
type answer struct {
	status                   int
	contentType, date, limit string
	body                     []byte
}

func (a *answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Date"] = []string{a.date}
	w.Header()["Content-Type"] = []string{a.contentType}
	w.Header()["X-Ratelimit-User"] = []string{a.limit}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// FuzzAnswer checks that any response leads to complete credentials, or to an error with a next step that repeats nothing of the
// response but a well-formed code and request ID.
func FuzzAnswer(f *testing.F) {
	const (
		date  = "Sun, 01 Mar 2026 12:00:00 GMT"
		plain = "application/json;charset=utf-8"
		limit = "Limit:100,Remain:0,TimeLeft:1500"
		whole = `{"RequestId":"6894B13B-6D71-4EF5-88FA-F32781734A7F","AssumedRoleUser":{"Arn":"acs:ram::1:role/r/s","AssumedRoleId":"3:s"},` +
			`"Credentials":{"AccessKeyId":"STS.NExample","AccessKeySecret":"aSecret","SecurityToken":"aToken","Expiration":"2026-03-01T13:00:00Z"}}`
	)
	f.Add(200, plain, date, "", []byte(whole))
	f.Add(200, plain, "", "", []byte(strings.Replace(whole, "SecurityToken", "Securitytoken2", 1)))
	f.Add(200, plain, date, "", []byte(strings.Replace(whole, "2026-03-01T13", "2025-03-01T13", 1)))
	f.Add(200, plain, date, "", []byte{})
	f.Add(502, "text/html", date, "", []byte("<html>502 Bad Gateway</html>"))
	f.Add(400, plain, date, limit, []byte(`{"Code":"Throttling.User","Message":"Request was denied due to user flow control.","RequestId":"6894B13B"}`))
	f.Add(403, plain, date, "Limit:,TimeLeft:-99999999999999999999", []byte(`{"Code":"NoPermission","Message":"sUpErSeCrEt https://sts/?OIDCToken=x","RequestId":"6894B13B"}`))
	f.Add(500, "application/xml", "never", "TimeLeft", []byte(`<Error><Code>InternalError</Code></Error>`))
	f.Add(404, plain, date, "", []byte(`{"Code":["x"],"RequestId":"y"}`))
	f.Add(401, plain, date, "", []byte(`{"Code":"AuthenticationFail.OIDCToken.Expired","Message":{},"RequestId":"y","AccessDeniedDetail":3}`))
	var given atomic.Pointer[answer]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { given.Load().ServeHTTP(w, r) }))
	f.Cleanup(server.Close)
	observed := ""
	client, err := sts.New(sts.Options{Endpoint: server.URL, Clock: fuzzClock{}, Timeout: 5 * time.Second,
		Observe: func(_, outcome string, _ time.Duration) { observed = outcome }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, date, limit string, body []byte) {
		if status < 200 || status > 999 || status == 204 || status == 304 {
			return // no final response, or one without a body
		}
		given.Store(&answer{status, contentType, date, limit, body})
		session, err := client.AssumeRole(context.Background(), anyKeys, order)
		if !slices.Contains(sts.Results(), observed) {
			t.Errorf("observed %q", observed)
		}
		if err == nil {
			wantComplete(t, session, body)
			return
		}
		if session != (credentials.Credentials{}) {
			t.Error("an error with a session")
		}
		var failed *sts.Error
		if !errors.As(err, &failed) {
			t.Fatalf("%T", err)
		}
		wantExplained(t, failed, body)
	})
}

// fuzzClock stands still, so that only responses change the skew.
type fuzzClock struct{}

func (fuzzClock) Now() time.Time                  { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
func (fuzzClock) Since(t time.Time) time.Duration { return fuzzClock{}.Now().Sub(t) }

// wantComplete checks that the credentials are complete and not expired.
func wantComplete(t *testing.T, s credentials.Credentials, body []byte) {
	t.Helper()
	if s.AccessKeyID == "" || s.AccessKeySecret == "" || s.SecurityToken == "" || !s.ExpiresAt.After(s.IssuedAt) {
		t.Errorf("incomplete credentials of %q", body)
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.ReplaceAll(printed, "redacted", "") != "   " {
		t.Errorf("a session prints as %q", printed)
	}
}

// wantExplained checks that the error is safe to show and names the next step.
func wantExplained(t *testing.T, e *sts.Error, body []byte) {
	t.Helper()
	if e.Class == "" || e.NextStep == "" || e.Reason == "" || e.RetryAfter < 0 || e.RetryAfter > time.Hour {
		t.Errorf("%q: class %v, reason %q, next step %q, retry after %v", body, e.Class, e.Reason, e.NextStep, e.RetryAfter)
	}
	if len(e.Error()) > 1000 || strings.ContainsAny(e.Code+e.RequestID, " \n:/?=<{\"") {
		t.Errorf("%q: the error is %q", body, e)
	}
	var answered struct{ Message any }
	_ = json.Unmarshal(body, &answered)
	if message, ok := answered.Message.(string); ok && len(message) > 12 && strings.Contains(e.Error(), message) && !strings.Contains(e.Code, message) {
		t.Errorf("the error repeats STS's message: %q", e)
	}
}
