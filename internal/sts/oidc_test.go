// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	providerARN = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
	issuer      = "https://oidc.example.com/c1"
	subject     = "system:serviceaccount:shop:orders"
)

var who = sts.Subject{Name: subject, ProviderARN: providerARN, Issuer: issuer}

// withToken lets the role trust a ServiceAccount, and returns its request.
func (w *environment) withToken(t *testing.T) sts.OIDCRequest {
	t.Helper()
	cluster, err := stsemulator.NewIssuer(issuer)
	if err != nil {
		t.Fatal(err)
	}
	w.emulator.AddOIDCProvider(cluster.Provider(providerARN, "sts.aliyuncs.com"))
	w.emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{
		{RAM: []string{operatorARN}},
		{Federated: []string{providerARN}, StringEquals: map[string][]string{"oidc:sub": {subject}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:iss": {issuer}}},
	}})
	token, err := cluster.Token(subject, "sts.aliyuncs.com", clock.RealClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	return sts.OIDCRequest{ProviderARN: providerARN, Token: token, Request: order}
}

// anyToken has a token that is easy to find in texts.
var anyToken = sts.OIDCRequest{ProviderARN: providerARN, Token: "hush.hush.hush", Request: order}

// assumeWithOIDC calls AssumeRoleWithOIDC where only the error matters, which never holds the token.
func assumeWithOIDC(ctx context.Context, t *testing.T, client *sts.Client, in sts.OIDCRequest) *sts.Error {
	t.Helper()
	session, err := client.AssumeRoleWithOIDC(ctx, in)
	if err == nil {
		return nil
	}
	var e *sts.Error
	if session != (credentials.Credentials{}) || !errors.As(err, &e) || e.Action != "AssumeRoleWithOIDC" {
		t.Fatalf("got %v", err)
	}
	for printer, text := range printed(t, struct{ E any }{e}) {
		if strings.Contains(text, "hush") {
			t.Errorf("%s prints %s", printer, text)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %v", e, *e, e, errors.Unwrap(e)); strings.Contains(text, in.Token[:min(20, len(in.Token))]) && in.Token != "" {
		t.Errorf("the token is in %s", text)
	}
	return e
}

func TestAssumeRoleWithOIDC(t *testing.T) {
	w := newEnvironment(t)
	in := w.withToken(t)
	in.Duration = 20 * time.Minute
	in.Policy = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:Get*","Resource":"acs:oss:*:*:b ~x+1/é&=%"}]}`
	session, err := w.client(t).AssumeRoleWithOIDC(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	call, now := w.emulator.Calls()[0], w.clock.Now()
	want := credentials.Credentials{
		AccessKeyID: session.AccessKeyID, AccessKeySecret: session.AccessKeySecret, SecurityToken: session.SecurityToken,
		IssuedAt: now, ExpiresAt: now.Add(20 * time.Minute),
		AssumedRoleARN: roleARN + "/shop.orders-reader", AssumedRoleID: session.AssumedRoleID, RequestID: call.RequestID,
	}
	if session != want || !strings.HasPrefix(session.AccessKeyID, "STS.") || session.AccessKeySecret == "" || session.SecurityToken == "" {
		t.Errorf("issued at %v until %v, as %s, RequestId %s", session.IssuedAt, session.ExpiresAt, session.AssumedRoleARN, session.RequestID)
	}
	requested := credentials.Request{
		RoleARN: call.RoleARN, SessionName: call.SessionName, Duration: time.Duration(call.DurationSeconds) * time.Second, Policy: call.Policy,
	}
	if requested != in.Request || call.OIDCTokenIn != "body" || call.AccessKeyID != "" {
		t.Errorf("requested %+v, the token in the %s, signed by %q", requested, call.OIDCTokenIn, call.AccessKeyID)
	}
}

// Proxies log URLs.
func TestURLHoldsNoParameters(t *testing.T) {
	client := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, name := range []string{"Policy=", "DurationSeconds=", "ExternalId=", "SourceIdentity="} {
			if strings.Contains(string(body), name) {
				t.Errorf("%s is sent", name)
			}
		}
		if strings.Contains(r.URL.RawQuery, "hush") || strings.Contains(r.URL.RawQuery, "Arn") || r.Header.Get("Authorization") != "" {
			t.Errorf("sent %s with Authorization %q", r.URL, r.Header.Get("Authorization"))
		}
		if !strings.Contains(string(body), "OIDCToken=hush.hush.hush") || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("the body is %s %s", r.Header.Get("Content-Type"), body)
		}
	})
	in := anyToken
	in.Request = credentials.Request{RoleARN: roleARN, SessionName: "s"}
	_ = assumeWithOIDC(context.Background(), t, client, in)
}

func TestInvalidOIDCRequestsMakeNoCall(t *testing.T) {
	w := newEnvironment(t)
	for name, c := range map[string]struct {
		change func(*sts.OIDCRequest)
		class  sts.Class
		reason string
	}{
		"an external id":    {func(in *sts.OIDCRequest) { in.ExternalID = "x1" }, sts.Invalid, sts.ReasonInvalidSpec},
		"a source identity": {func(in *sts.OIDCRequest) { in.SourceIdentity = "x1" }, sts.Invalid, sts.ReasonInvalidSpec},
		"no token":          {func(in *sts.OIDCRequest) { in.Token = "" }, sts.Refused, sts.ReasonIdentityUnavailable},
		"no provider":       {func(in *sts.OIDCRequest) { in.ProviderARN = "" }, sts.Refused, sts.ReasonIdentityUnavailable},
	} {
		in := anyToken
		c.change(&in)
		if e := assumeWithOIDC(context.Background(), t, w.client(t), in); e == nil || e.Class != c.class || e.Reason != c.reason {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	if calls := w.emulator.Calls(); len(calls) != 0 {
		t.Errorf("%d calls were made", len(calls))
	}
}

func TestOIDCCodes(t *testing.T) {
	for _, c := range []struct {
		code, message string
		class         sts.Class
		reason        string
		next          []string // with the subject known
	}{
		{"AuthenticationFail.NoPermission", "There is no permission", sts.Refused, sts.ReasonRoleRefused, []string{
			"trust policy of " + roleARN, `"oidc:sub":"` + subject + `"`, `"oidc:aud":"sts.aliyuncs.com"`, `"oidc:iss":"` + issuer + `"`, `"Federated":["` + providerARN + `"]`,
		}},
		{"AuthenticationFail.NoPermission", "No such OIDC Provider registered.", sts.Refused, sts.ReasonRoleRefused, []string{providerARN + " is not registered", issuer}},
		{"AuthenticationFail.OIDCToken.AudienceNotMatch", "", sts.Refused, sts.ReasonRoleRefused, []string{"client IDs of " + providerARN, `"oidc:aud"`}},
		{"AuthenticationFail.OIDCToken.Expired", "", sts.StaleIdentity, sts.ReasonIdentityUnavailable, []string{"expired", "clocks"}},
		{"AuthenticationFail.OIDCToken.InvalidSignature", "", sts.Refused, sts.ReasonRoleRefused, []string{providerARN, "fingerprint", issuer}},
		{"AuthenticationFail.OIDCToken.Invalid", "", sts.Refused, sts.ReasonRoleRefused, []string{providerARN, "issuer"}},
		{"AuthenticationFail.OIDCToken.Novelty", "", sts.Refused, sts.ReasonRoleRefused, []string{"issuer"}},
		{"AuthenticationFail.Novelty", "", sts.Refused, sts.ReasonRoleRefused, []string{"oidc:sub"}},
		{"InvalidParameter.OIDCToken", "", sts.Refused, sts.ReasonIdentityUnavailable, []string{"token"}},
		{"InvalidParameter.OIDCProviderArn", "", sts.Refused, sts.ReasonIdentityUnavailable, []string{"oidc-provider/"}},
		{"EntityNotExist.Role", "", sts.Refused, sts.ReasonRoleRefused, []string{roleARN + " does not exist"}},
		{"Throttling.User", "", sts.Throttled, sts.ReasonThrottled, []string{"--sts-qps"}},
		{"InternalError", "", sts.Transient, sts.ReasonSTSUnavailable, []string{"support"}},
	} {
		t.Run(c.code+c.message, func(t *testing.T) {
			w := newEnvironment(t)
			w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: c.code, Message: c.message + " hush"})
			e := assumeWithOIDC(context.Background(), t, w.client(t), w.withToken(t))
			if e == nil || e.Code != c.code || e.Class != c.class || e.Reason != c.reason || e.RequestID != w.emulator.Calls()[0].RequestID {
				t.Fatalf("got %+v", e)
			}
			known := e.WithSubject(who)
			for _, want := range c.next {
				if !strings.Contains(known.Error(), want) {
					t.Errorf("the error is: %s\nwant: %s", known, want)
				}
			}
			if strings.Contains(known.Error(), "<issuer") || len(known.Error()) > 900 {
				t.Errorf("the error is: %s", known)
			}
			if strings.Contains(e.Error(), "{") && !strings.Contains(e.Error(), `"oidc:iss":"<issuer URL>"`) {
				t.Errorf("without a subject the error is: %s", e)
			}
			if again := known.WithCaller(""); again.NextStep != known.NextStep {
				t.Errorf("an unknown caller changes it to: %s", again)
			}
		})
	}
}

func TestOIDCRefusalsOfTheEmulator(t *testing.T) {
	w := newEnvironment(t)
	in, client := w.withToken(t), w.client(t)
	other := in
	other.ProviderARN += "2"
	forged := in
	forged.Token = forged.Token[:len(forged.Token)-8] + "AAAAAAAA"
	for name, c := range map[string]struct {
		in   sts.OIDCRequest
		code string
	}{
		"another provider": {other, "AuthenticationFail.NoPermission"},
		"a forged token":   {forged, "AuthenticationFail.OIDCToken.InvalidSignature"},
	} {
		if e := assumeWithOIDC(context.Background(), t, client, c.in); e == nil || e.Code != c.code {
			t.Errorf("%s: got %v", name, e)
		}
	}
}

func TestIncompleteOIDCResponseIsRejected(t *testing.T) {
	for name, fault := range map[string]stsemulator.Fault{
		"no AccessKey ID":        {Kind: stsemulator.FaultPartial, Missing: "AccessKeyId"},
		"no secret":              {Kind: stsemulator.FaultPartial, Missing: "AccessKeySecret"},
		"no token":               {Kind: stsemulator.FaultPartial, Missing: "SecurityToken"},
		"no Expiration":          {Kind: stsemulator.FaultPartial, Missing: "Expiration"},
		"no credentials":         {Kind: stsemulator.FaultPartial, Missing: "Credentials"},
		"a malformed Expiration": {Kind: stsemulator.FaultBadExpiration},
		"an empty body":          {Kind: stsemulator.FaultEmpty},
		"a page of a gateway":    {Kind: stsemulator.FaultBadGateway},
		"a reset connection":     {Kind: stsemulator.FaultReset},
		"a hang":                 {Kind: stsemulator.FaultHang},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnvironment(t)
			w.emulator.Inject(fault)
			client := newClient(t, sts.Options{Endpoint: w.server.URL, Clock: w.clock, Timeout: 100 * time.Millisecond})
			e := assumeWithOIDC(context.Background(), t, client, w.withToken(t))
			if e == nil || e.Class != sts.Transient || e.Reason != sts.ReasonSTSUnavailable || e.NextStep == "" {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A server in place of STS may repeat the request in its response.
func TestTokenInTheResponseIsNotShown(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	if e := assumeWithOIDC(context.Background(), t, newClient(t, sts.Options{Endpoint: closed.URL}), anyToken); e == nil || e.Class != sts.Transient {
		t.Errorf("a closed port: got %v", e)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		code   string
	}{
		"a page":            {403, "<html>%s</html>", ""},
		"a page, 200":       {200, "%s", ""},
		"an error":          {400, `{"RequestId":"R-1","Code":"AuthenticationFail.OIDCToken.Invalid","Message":"%s","Recommend":"%[1]s"}`, "AuthenticationFail.OIDCToken.Invalid"},
		"in place of ids":   {400, `{"RequestId":"%s","Code":"NoPermission","Message":"m"}`, "NoPermission"},
		"fields of a type":  {200, `{"RequestId":"R-1","Credentials":["%s"]}`, ""},
		"an error, no code": {400, `{"RequestId":"R-1","Message":"%s"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = fmt.Fprintf(w, c.body, anyToken.Token)
			})
			if e := assumeWithOIDC(context.Background(), t, client, anyToken); e == nil || e.Code != c.code {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestCanceledOIDCCall(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else net/http does not notice that the client has gone
		cancel()
		<-r.Context().Done()
	})
	e := assumeWithOIDC(ctx, t, newClient(t, sts.Options{Endpoint: url, Timeout: time.Hour}), anyToken)
	if !errors.Is(e, context.Canceled) || e.Class != sts.Transient {
		t.Errorf("got %v", e)
	}
}

func TestConcurrentCallsWithTokensAndKeys(t *testing.T) {
	w := newEnvironment(t)
	client, in := w.client(t), w.withToken(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := client.AssumeRoleWithOIDC(context.Background(), in); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := client.AssumeRole(context.Background(), w.keys, order); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, call := range w.emulator.Calls() {
		if signed := call.AccessKeyID != ""; signed != (call.Action == "AssumeRole") || call.OIDCTokenIn == "query" {
			t.Errorf("%s: signed %t, the token in %q", call.Action, signed, call.OIDCTokenIn)
		}
	}
}
