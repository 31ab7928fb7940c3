// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestAssumeRole(t *testing.T) {
	w := newEnvironment(t)
	now := w.clock.Now()
	in := credentials.Request{
		RoleARN: roleARN, SessionName: "shop.orders-reader", Duration: 20 * time.Minute,
		Policy: order.Policy, ExternalID: "external/id", SourceIdentity: "alice",
	}
	session, err := w.client(t).AssumeRole(context.Background(), w.keys, in)
	if err != nil {
		t.Fatal(err)
	}
	call := w.emulator.Calls()[0]
	want := credentials.Credentials{
		AccessKeyID: session.AccessKeyID, AccessKeySecret: session.AccessKeySecret, SecurityToken: session.SecurityToken,
		IssuedAt: now, ExpiresAt: now.Add(20 * time.Minute),
		AssumedRoleARN: roleARN + "/shop.orders-reader", AssumedRoleID: session.AssumedRoleID, RequestID: call.RequestID,
	}
	if session != want {
		t.Errorf("issued at %v until %v, as %s, RequestId %s", session.IssuedAt, session.ExpiresAt, session.AssumedRoleARN, session.RequestID)
	}
	if !strings.HasPrefix(session.AccessKeyID, "STS.") || session.AccessKeySecret == "" || session.SecurityToken == "" {
		t.Error("the credentials are incomplete")
	}
	if !strings.HasSuffix(session.AssumedRoleID, ":shop.orders-reader") {
		t.Errorf("assumed %s", session.AssumedRoleID)
	}
	requested := credentials.Request{
		RoleARN: call.RoleARN, SessionName: call.SessionName, Duration: time.Duration(call.DurationSeconds) * time.Second,
		Policy: call.Policy, ExternalID: call.ExternalID, SourceIdentity: call.SourceIdentity,
	}
	if requested != in {
		t.Errorf("requested %+v", requested)
	}
}

func TestWhatIsNotSetIsNotSent(t *testing.T) {
	client := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Policy", "ExternalId", "SourceIdentity", "DurationSeconds"} {
			if r.URL.Query().Has(name) {
				t.Errorf("%s is sent", name)
			}
		}
	})
	_, _ = client.AssumeRole(context.Background(), anyKeys, credentials.Request{RoleARN: roleARN, SessionName: "s"})
}

func TestGetCallerIdentity(t *testing.T) {
	w := newEnvironment(t)
	client := w.client(t)
	session, err := client.AssumeRole(context.Background(), w.keys, order)
	if err != nil {
		t.Fatal(err)
	}
	temporary := credentials.Credentials{AccessKeyID: session.AccessKeyID, AccessKeySecret: session.AccessKeySecret, SecurityToken: session.SecurityToken}
	for _, c := range []struct {
		name string
		keys credentials.Credentials
		arn  string
		kind string
	}{
		{"a user", w.keys, operatorARN, "RAMUser"},
		{"temporary credentials", temporary, "acs:ram::" + account + ":assumed-role/orders-reader/shop.orders-reader", "AssumedRoleUser"},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller, err := client.GetCallerIdentity(context.Background(), c.keys)
			if err != nil {
				t.Fatal(err)
			}
			if caller.ARN != c.arn || caller.Account != account || caller.IdentityType != c.kind || caller.PrincipalID == "" {
				t.Errorf("got %+v", caller)
			}
		})
	}
}

func TestIncompleteCallerIdentityIsRejected(t *testing.T) {
	client := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"RequestId":"R"}`)) })
	_, err := client.GetCallerIdentity(context.Background(), anyKeys)
	var e *sts.Error
	if !errors.As(err, &e) || e.Class != sts.Transient || e.Action != "GetCallerIdentity" {
		t.Errorf("got %v", err)
	}
}

func TestIncompleteResponseIsRejected(t *testing.T) {
	for name, fault := range map[string]stsemulator.Fault{
		"no AccessKey ID":          {Kind: stsemulator.FaultPartial, Missing: "AccessKeyId"},
		"no secret":                {Kind: stsemulator.FaultPartial, Missing: "AccessKeySecret"},
		"no token":                 {Kind: stsemulator.FaultPartial, Missing: "SecurityToken"},
		"no Expiration":            {Kind: stsemulator.FaultPartial, Missing: "Expiration"},
		"no credentials":           {Kind: stsemulator.FaultPartial, Missing: "Credentials"},
		"a malformed Expiration":   {Kind: stsemulator.FaultBadExpiration},
		"an empty body":            {Kind: stsemulator.FaultEmpty},
		"a page of a gateway":      {Kind: stsemulator.FaultBadGateway},
		"a reset connection":       {Kind: stsemulator.FaultReset},
		"an internal error of STS": {Kind: stsemulator.FaultError, Code: "InternalError"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnvironment(t)
			w.emulator.Inject(fault)
			e := assume(context.Background(), w.client(t), w.keys)
			if e == nil || e.Class != sts.Transient || e.Reason != sts.ReasonSTSUnavailable || e.NextStep == "" {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestMalformedCredentialsMakeNoCall(t *testing.T) {
	w := newEnvironment(t)
	for name, keys := range map[string]credentials.Credentials{
		"nothing": {}, "no secret": {AccessKeyID: "a"}, "no id": {AccessKeySecret: "b"}, "a token only": {SecurityToken: "c"},
		"no secret but a token": {AccessKeyID: "a", SecurityToken: "c"},
		"a line break":          {AccessKeyID: "a", AccessKeySecret: "b\n"},
		"a leading space":       {AccessKeyID: " a", AccessKeySecret: "b"},
		"a malformed token":     {AccessKeyID: "a", AccessKeySecret: "b", SecurityToken: "c\x00"},
	} {
		if e := assume(context.Background(), w.client(t), keys); e == nil || e.Class != sts.Refused || e.Reason != sts.ReasonIdentityUnavailable {
			t.Errorf("%s: got %v", name, e)
		}
	}
	if calls := w.emulator.Calls(); len(calls) != 0 {
		t.Errorf("%d calls were made", len(calls))
	}
}

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		name string
		skew time.Duration
		want time.Duration
	}{
		{"none", 0, 0},
		{"less than Date resolves", 1900 * time.Millisecond, 0},
		{"STS ahead", 7 * time.Minute, 7 * time.Minute},
		{"STS behind", -7 * time.Minute, -7 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newEnvironment(t)
			client := w.client(t)
			w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultClockSkew, Duration: c.skew})
			session, err := client.AssumeRole(context.Background(), w.keys, order)
			if err != nil {
				t.Fatal(err)
			}
			if client.Skew() != c.want || !client.Now().Equal(w.clock.Now().Add(c.want)) {
				t.Errorf("skew %v, want %v", client.Skew(), c.want)
			}
			if got := session.ExpiresAt.Sub(session.IssuedAt); got < time.Hour || got > time.Hour+time.Second {
				t.Errorf("lifetime %v, want an hour", got)
			}
		})
	}
}

func TestErrorsUpdateTheSkew(t *testing.T) {
	w := newEnvironment(t)
	client := w.client(t)
	w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultClockSkew, Duration: time.Hour})
	if e := assume(context.Background(), client, w.keys); e == nil || e.Code != "InvalidTimeStamp.Expired" {
		t.Fatalf("got %v", e)
	}
	if client.Skew() != time.Hour {
		t.Errorf("skew %v, want an hour", client.Skew())
	}
	w.emulator.Clear()
	w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultBadGateway})
	_ = assume(context.Background(), client, w.keys)
	if client.Skew() != time.Hour {
		t.Errorf("skew %v after a response that is not of STS, want it unchanged", client.Skew())
	}
}

func TestResponseWithoutDateUsesTheLocalClock(t *testing.T) {
	w := newEnvironment(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		w.emulator.ServeHTTP(recorded, r)
		rw.Header()["Date"] = nil
		_, _ = rw.Write(recorded.Body.Bytes())
	}))
	defer server.Close()
	client := newClient(t, sts.Options{Endpoint: server.URL, Clock: w.clock})
	session, err := client.AssumeRole(context.Background(), w.keys, order)
	if err != nil || !session.IssuedAt.Equal(w.clock.Now()) || client.Skew() != 0 {
		t.Errorf("issued at %v, %v", session.IssuedAt, err)
	}
}

func TestExpiredOnArrival(t *testing.T) {
	client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"RequestId":"R","Credentials":{"AccessKeyId":"a","AccessKeySecret":"b","SecurityToken":"c","Expiration":"2015-04-09T11:52:19Z"}}`))
	})
	if e := assume(context.Background(), client, anyKeys); e == nil || e.Class != sts.Transient {
		t.Errorf("got %v", e)
	}
}

func TestCallsShareConnections(t *testing.T) {
	w := newEnvironment(t)
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(w.emulator)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t, sts.Options{Endpoint: server.URL, Clock: w.clock})
	for _, fault := range []stsemulator.FaultKind{"", stsemulator.FaultError, stsemulator.FaultEmpty, stsemulator.FaultBadGateway, ""} {
		if fault != "" {
			w.emulator.Inject(stsemulator.Fault{Kind: fault, Code: "NoPermission", Times: 1})
		}
		_, _ = client.AssumeRole(context.Background(), w.keys, order)
	}
	if got := opened.Load(); got != 1 {
		t.Errorf("%d connections for 5 calls, want 1", got)
	}
}

func TestConcurrentCalls(t *testing.T) {
	w := newEnvironment(t)
	client := w.client(t)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			session, err := client.AssumeRole(context.Background(), w.keys, order)
			if err != nil {
				t.Error(err)
				return
			}
			temporary := credentials.Credentials{AccessKeyID: session.AccessKeyID, AccessKeySecret: session.AccessKeySecret, SecurityToken: session.SecurityToken}
			if _, err := client.GetCallerIdentity(context.Background(), temporary); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls := w.emulator.Calls(); len(calls) != 64 {
		t.Errorf("%d calls, want 64", len(calls))
	}
}

func TestUserAgent(t *testing.T) {
	w := newEnvironment(t)
	client := newClient(t, sts.Options{Endpoint: w.server.URL, Clock: w.clock, UserAgent: "sts-credential-operator/v1.2.3"})
	_ = assume(context.Background(), client, w.keys)
	if got := w.emulator.Calls()[0].UserAgent; !strings.Contains(got, "sts-credential-operator/v1.2.3") {
		t.Errorf("got %q", got)
	}
}
